// Which answers are opened is told to the service, which learns from it how well it finds; nothing waits for that.

import { read } from "./address.js";
import { below } from "./root.js";

/** Tell when a product that answers a photo is opened, here or in another tab. */
export function listen() {
  for (const kind of ["click", "auxclick"]) document.addEventListener(kind, opened, { capture: true }); // before it goes
}

function opened(event) {
  const link = event.target.closest?.("#answers .card a.more");
  const { kind, id } = read(new URL(location.href));
  if (!link || event.button > 1 || kind !== "query" || !id.startsWith("q_")) return;
  const card = link.closest(".card");
  const position = [...card.parentElement.children].indexOf(card);
  const told = { query_id: id, product_id: link.dataset.key.slice("hit-".length), kind: "click", position };
  navigator.sendBeacon?.(below("/v1/events"), new Blob([JSON.stringify(told)], { type: "application/json" }));
}
