// What is said to those who do not see the page.

import { absent, likeness, products, titled } from "./words.js";

/** Say something. */
export function say(text) {
  document.getElementById("status").textContent = text;
}

/** Sum an answer up: how many there are, whether the shop seems to lack it, and what is most alike. */
export function summary({ results: [first], total, inCatalog }, narrowed) {
  if (!first) return "Nothing found";
  const row = likeness(first.probability, inCatalog);
  const most = `The most alike: ${titled(first)}${row ? `, ${row.words.toLowerCase()}` : ""}`;
  return [`${products(total)}.`, absent(inCatalog, narrowed), most].filter(Boolean).join(" ");
}
