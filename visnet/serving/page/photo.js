// What is searched for: a photo with its boxes, or a product of the catalog.

import { sized } from "./api.js";
import { draggable, keyed, place } from "./drawing.js";
import { h, icon, picture } from "./elements.js";
import { below } from "./root.js";
import { isAddress, kind, named, price, shopPage, titled } from "./words.js";

const MIDDLE = [0.2, 0.2, 0.8, 0.8]; // where a box begins that keys draw
const SHOWN_APART = new Set(["title", "price", "currency"]); // of a product's attributes

/** Build the frame of a photo, as wide as fits and as high as it needs. */
function frame({ url, width, height }, alt) {
  const node = h(
    "div.frame",
    {},
    url ? h("img", { src: below(url), alt, width, height, draggable: "false" }) : h("span.nopicture", {}, "No preview"),
  );
  node.style.setProperty("--ratio", width / height);
  return node;
}

/** Show a photo that is being sent, or could not be. */
export function sent(preview) {
  return [h("h2.unseen", {}, "Your photo"), frame(preview, "Your photo"), several(preview.count), room()];
}

/** Leave room for what is asked for: a "query", or a "product", of which {title, photo} may be `known`: the photo as cards show it is there. */
export function waiting(kind, known) {
  if (kind === "query") return [h("div.frame.skeleton"), room()];
  if (known?.photo) return [framed(known.photo, known.title, 320), h("div.about", {}, name(known.title))];
  return [h("div.frame.product.skeleton"), h("div.about", {}, h("div.line.skeleton"), h("div.line.short.skeleton"))];
}

const name = (title) => h("h2.title", { dir: "auto" }, title);

const framed = (url, title, size = 640) =>
  h("div.frame.product", {}, picture(sized(url, size), title, { eager: true, size }));

const room = () => h("div.room"); // for the buttons below a photo

function several(count) {
  return count > 1 && h("p.soft", {}, `Searched with ${count} photos of it; this is the first.`);
}

/**
 * Show the photo of a search, its boxes to pick from, and the ways to another one.
 *
 * `acts`: pick(box) searches with a box in pixels, draw(on) turns drawing on or off, say(text) speaks.
 */
export function searched({ photo, boxes }, { url, count, drawing }, acts) {
  const { width, height } = photo;
  const parts = ([left, top, right, bottom]) => [left / width, top / height, right / width, bottom / height];
  const pick = ([left, top, right, bottom]) => acts.pick([left * width, top * height, right * width, bottom * height]);
  const used = boxes.find((one) => one.used);
  const wholes = (box) => alike(parts(box), [0, 0, 1, 1]);
  const whole = wholes(used.box);
  const node = frame({ url: url ?? photo.url, width, height }, "Your photo");
  const shown = boxes.filter((one) => !wholes(one.box) && (one.used || !alike(parts(one.box), parts(used.box))));
  node.append(...areas(shown, boxes, parts, acts.pick));
  node.classList.toggle("drawing", drawing);
  draggable(node, () => drawing, pick);
  const key =
    drawing && keyed(!whole ? parts(used.box) : MIDDLE, { say: acts.say, done: pick, leave: () => acts.draw(false) });
  if (key) node.append(key.node);
  return [
    h("h2.unseen", {}, "Your photo"),
    node,
    several(count),
    ...(key
      ? ending(key, pick, acts)
      : choices(
          shown.some((one) => !one.used),
          whole,
          pick,
          acts,
        )),
  ];
}

function choices(others, whole, pick, acts) {
  const button = (key, name, words, press, pressed) =>
    h(
      "button.button.small",
      { type: "button", "data-key": key, "aria-pressed": pressed, click: press },
      icon(name),
      words,
    );
  return [
    h(
      "p.buttons",
      {},
      button("draw", "draw", "Draw an area", () => acts.draw(true)),
      button("whole", "whole", "Whole photo", () => pick([0, 0, 1, 1]), String(whole)),
    ),
    others && h("p.soft.hint", {}, "Pick an area in the photo, or draw one."),
  ];
}

function ending(key, pick, acts) {
  return [
    h("p.soft", {}, ...key.help),
    h(
      "p.buttons",
      {},
      h(
        "button.button.small.main",
        { type: "button", "data-key": "area-search", click: () => pick(key.box()) },
        "Search this area",
      ),
      h("button.button.small", { type: "button", "data-key": "area-leave", click: () => acts.draw(false) }, "Cancel"),
    ),
  ];
}

const alike = (box, other) => box.every((edge, at) => Math.abs(edge - other[at]) < 0.005);

function areas(boxes, all, parts, pick) {
  const proposed = ({ box }) => all.some((one) => one.kind === "proposed" && alike(parts(one.box), parts(box)));
  const size = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);
  const sorted = [...boxes].sort((a, b) => size(b) - size(a)); // the smaller lies on the larger
  return sorted.map((one, at) => {
    const named = one.kind === "given" && !proposed(one) ? "Drawn area" : `Area ${at + 1} of ${sorted.length}`;
    const node = h("button.area", {
      type: "button",
      "data-key": `area-${at}`,
      "aria-label": named,
      "aria-pressed": String(one.used),
      title: one.used ? "Searched for" : "Search for this",
      click: () => one.used || pick(one.box),
    });
    place(node, parts(one.box));
    return node;
  });
}

const linked = (value) => (isAddress(value) ? h("a", { href: value, rel: "noopener noreferrer" }, value) : value);

/** Say of a product's photos which mislead a search, and why; nothing of good ones, and of those that nobody looked at. */
function faults(photos) {
  return photos.flatMap(({ quality }, at) => {
    if (!quality || quality.verdict === "good") return [];
    const said = `${quality.verdict}, ${quality.fault.replaceAll("_", " ")} (${quality.score.toFixed(2)})`;
    return [h("p.soft", {}, `Photo ${at + 1}: ${said}`)];
  });
}

/** Show a product: its photos, what it is called, what it costs, and what else the catalog says; `details`: of its photos, too. */
export function product(found, details) {
  const { photos, attributes } = found;
  const title = titled(found);
  const large = photos.length ? framed(photos[0].url, title) : h("div.frame.product", {});
  const show = ({ url }) => large.replaceChildren(...framed(url, title).childNodes);
  const sold = shopPage(attributes);
  const small = photos.map((photo, at) =>
    h(
      "button.thumb",
      {
        type: "button",
        "data-key": `thumb-${at}`,
        "aria-label": `Photo ${at + 1} of ${photos.length}`,
        "aria-pressed": String(at === 0),
        click: ({ currentTarget }) => {
          for (const other of small) other.setAttribute("aria-pressed", String(other === currentTarget));
          show(photo);
        },
      },
      picture(sized(photo.url, 128), "", { size: 64 }),
    ),
  );
  const facts = Object.entries(attributes).filter(([column, value]) => !SHOWN_APART.has(column) && value && value !== sold);
  return [
    large,
    h(
      "div.about",
      {},
      name(title),
      attributes.price && h("p.price", {}, price(attributes)),
      h("p.soft", {}, kind(found)),
      sold && h("a.button", { href: sold, rel: "noopener noreferrer" }, "See it in the shop"),
    ),
    photos.length > 1 && h("div.thumbs", { role: "group", "aria-label": "Photos of this product" }, small),
    ...(details ? faults(photos) : []),
    facts.length > 0 &&
      h(
        "dl.facts",
        {},
        facts.flatMap(([column, value]) => [h("dt", {}, named(column)), h("dd", { dir: "auto" }, linked(value))]),
      ),
  ];
}
