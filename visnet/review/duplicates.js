// One pair at a time: one listing or two.
import { decide, percent, picture } from "./deciding.js";
import { element } from "./judging.js";

const about = await (await fetch("duplicates")).json();

function figure(item, side) {
  const [own, other] = [about.crops[item.crops[side]], about.crops[item.crops[1 - side]]];
  const word = (name) => element("span", {
    textContent: own[name] || `no ${name}`, className: own[name] && own[name] === other[name] ? "same" : "",
  });
  return element("figure", {},
    element("div", { className: "photo" }, picture(item.crops[side], side)),
    element("figcaption", {}, element("b", { textContent: own.product_id }),
      element("div", {}, word("category"), " · ", word("colour")),
      element("div", { className: "product", textContent: own.photo_id })));
}

await decide({
  heading: "Double listings",
  about,
  items: about.pairs.map((pair) => ({ ...pair, title: pair.relation })),
  words: { confirmed: "one listing", dismissed: "two listings" },
  noun: "pairs",
  figures: (item) => [figure(item, 0), figure(item, 1)],
  evidence: (item) => [
    ["probability", percent(item.score)], ["same structure", percent(item.exact)],
    ["colour difference", item.colour.toFixed(1)], ["found by", item.found_by || "nearest in its category"],
  ],
  mark: ([a, b]) => ({ a, b }),
});
