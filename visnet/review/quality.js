// One photo at a time: whether it misleads a search.
import { decide, percent, picture } from "./deciding.js";
import { element } from "./judging.js";

const about = await (await fetch("quality")).json();

function figure(item) {
  const own = about.crops[item.crops[0]];
  return element("figure", {},
    element("div", { className: "photo" }, picture(item.crops[0])),
    element("figcaption", {}, element("b", { textContent: own.product_id }),
      element("div", { textContent: `${own.category || "no category"} · ${own.colour || "no colour"}` }),
      element("div", { className: "product", textContent: own.photo_id })));
}

await decide({
  heading: "Photos that mislead",
  about,
  items: about.flagged.map((photo) => ({ ...photo, title: photo.reason })),
  words: { confirmed: "it misleads", dismissed: "it is good" },
  wrong: "confirmed",
  noun: "photos",
  figures: (item) => [figure(item)],
  evidence: (item) => [["verdict", item.verdict], ["score", percent(item.score)],
    ...item.others.map(([fault, score]) => [fault.replaceAll("_", " "), percent(score)])],
  mark: ([photo]) => ({ a: photo, b: "" }),
});
