// Elements from names, properties and children. What comes from the service becomes text or a property, never markup.

import { below } from "./root.js";

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `props` are attributes, or listeners where the value is a function; children are nodes or text. */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Put nodes into another; an input that is typed into stays, with what is around it, and only its histogram is new. */
export function fill(node, nodes) {
  const there = nodes.filter(Boolean);
  const edited = node.querySelector("[data-edited]:focus-within");
  const at = edited ? there.findIndex((one) => one.dataset.edited === edited.dataset.edited) : -1;
  if (at < 0) return node.replaceChildren(...there);
  for (const one of [...node.children]) if (one !== edited) one.remove();
  edited.querySelector(".histogram")?.replaceWith(there[at].querySelector(".histogram") ?? "");
  edited.before(...there.slice(0, at));
  edited.after(...there.slice(at + 1));
}

// Drawn on a grid of 24, in strokes of 1.75.
const ICONS = {
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  camera: "M4 8h4l1.5-2.5h5L16 8h4v11H4zM12 16.5a3.25 3.25 0 1 0 0-6.5 3.25 3.25 0 0 0 0 6.5z",
  draw: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M9 9h6v6H9z",
  whole: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  next: "M9 5l7 7-7 7",
  fault: "M12 4l9 16H3zM12 10v4M12 17h.01",
};

/** Draw an icon; it is silent, the words beside it speak. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Show a picture of the service; where it cannot be had, its frame stays, and says so. */
export function picture(src, alt, { eager = false, size = 320 } = {}) {
  const image = h("img", { src: below(src), alt, width: size, height: size, decoding: "async", loading: eager ? "eager" : "lazy" });
  image.addEventListener("error", () => image.replaceWith(h("span.nopicture", {}, "No picture")));
  return image;
}
