// What narrows the results: values of the catalog's columns, and ranges of its numbers. Each value is a link, so it can
// be opened, kept and gone back from; several of a column may be chosen.

import { write } from "./address.js";
import { fill, h } from "./elements.js";
import * as filters from "./filter.js";
import { count, level, named, valued } from "./words.js";

const SHOWN = 10; // values of a facet; the rest is folded away where they stand below each other
const MOST = 99; // values that are worth choosing from; the service tells 100, beyond which there may be more
const unfolded = new Set(); // columns whose values are all shown

/** Put facets into `node`; rows that are read to and fro, as on a phone, stay where they were read to. */
export function put(node, facets) {
  const read = new Map([...node.querySelectorAll("ul")].map((row) => [row.parentNode.ariaLabel, row.scrollLeft]));
  fill(node, facets);
  for (const row of node.querySelectorAll("ul")) row.scrollLeft = read.get(row.parentNode.ariaLabel) ?? 0;
}

/** Fold them away, on a phone, where the results stand below them. */
export const fold = (node) => node.classList.remove("open");

/** Show the facets of an answer, and what the state has chosen. `acts`: narrow(column, min, max) bounds a number. */
export function facets(found, state, acts) {
  const groups = Object.entries(found)
    .map(([name, facet]) => {
      if (name.endsWith("/")) return levels(name.slice(0, -1), facet, state);
      return Array.isArray(facet) ? choice(name, facet, state) : range(name, facet, state, acts);
    })
    .filter(Boolean);
  if (!groups.length) return [];
  const set = Object.keys(state.filter.columns).length;
  const open = document.getElementById("facets").classList.contains("open");
  const toggle = ({ currentTarget }) => {
    const now = currentTarget.parentNode.classList.toggle("open");
    currentTarget.setAttribute("aria-expanded", String(now));
  };
  const button = h(
    "button.button.small.unfolds",
    { type: "button", "data-key": "filters", "aria-expanded": String(open), click: toggle },
    set ? `Filters (${set})` : "Filters",
  );
  return [button, ...groups];
}

/** Leave room for what narrows, on a phone, where the results stand below it. */
export const waiting = () => [h("div.room")];

function choice(column, values, state) {
  const chosen = state.filter.columns[column]?.values ?? [];
  if (!chosen.length && (values.length < 2 || values.length > MOST)) return null;
  const gone = chosen.filter((value) => !values.some((one) => one.value === value));
  const all = [...gone.map((value) => ({ value, count: 0 })), ...values].slice(0, Math.max(MOST, chosen.length));
  const item = (label, current, filter, key, number) =>
    link(column, label, { current, key, number, href: write({ ...state, filter, offset: 0 }) });
  const items = all.map(({ value, count: number }) => {
    const filter = filters.toggled(state.filter, column, value);
    return item(valued(column, value), chosen.includes(value), filter, value, number);
  });
  const head = [item("All", !chosen.length, filters.without(state.filter, column), "")];
  return group(column, head, items, !all.slice(SHOWN).some(({ value }) => chosen.includes(value)));
}

/** Show where in a tree of paths one is, each level a link back up to it, and the levels below to go down to. */
function levels(column, values, state) {
  const { below = "" } = state.filter.columns[column] ?? {};
  if (!below && !values.length) return null;
  const texts = below ? below.split("/") : [];
  const item = (label, path, more) =>
    link(column, label, {
      key: path,
      href: write({ ...state, filter: filters.below(state.filter, column, path), offset: 0 }),
      ...more,
    });
  const all = !state.filter.columns[column];
  const up = ["", ...texts].map((text, depth) => {
    const path = texts.slice(0, depth).join("/");
    const here = depth === texts.length;
    return item(depth ? level(text) : "All", path, { up: !here, current: here && (depth > 0 || all) });
  });
  const depth = texts.length;
  const right = ({ value }) => value.split("/").length === depth + 1 && (!below || value.startsWith(`${below}/`));
  const down = values
    .filter(right) // what is counted is of the level before until the answer is there
    .map(({ value, count: number }) => item(level(value.split("/")[depth]), value, { number, down: depth > 0 }));
  return group(column, up, down, true);
}

function link(column, label, { href, key, number, current, up, down }) {
  const swatched = key && /^colou?r$/.test(column);
  return h(
    "li",
    {},
    h(
      `a.facet${up ? ".up" : ""}${down ? ".down" : ""}`,
      { href, "data-route": true, "data-key": `${column}-${key}`, "aria-current": current ? "true" : null },
      swatched && h("span.swatch", { "data-colour": String(key).toLowerCase(), "aria-hidden": "true" }),
      h("span", { dir: "auto" }, label),
      number !== undefined && h("span.number", {}, count(number)),
    ),
  );
}

/** Show links of a column; of many `items` those beyond the first are folded away, if they may be. */
function group(column, head, items, foldable) {
  const folded = foldable && items.length > SHOWN + 2 && !unfolded.has(column);
  const unfold = ({ target }) => {
    unfolded.add(column);
    target.parentNode.classList.remove("folded");
    target.parentNode.querySelectorAll(".facet")[SHOWN + head.length].focus();
    target.remove();
  };
  if (folded) for (const item of items.slice(SHOWN)) item.classList.add("away");
  return h(
    "section.group",
    { "aria-label": named(column), class: folded ? "group folded" : null },
    h("h2", {}, named(column)),
    h("ul", {}, head, items),
    folded &&
      h(
        "button.unfold",
        { type: "button", "data-key": `${column}-more`, click: unfold },
        `${items.length - SHOWN} more`,
      ),
  );
}

function range(column, { min, max, histogram }, state, acts) {
  const { min: from = null, max: to = null } = state.filter.columns[column] ?? {};
  if (from === null && to === null && (min === null || min === max)) return null;
  const input = (word, value, bound) =>
    h("input", {
      type: "number",
      step: "any",
      inputmode: "decimal",
      "data-key": `${column}-${word}`,
      "aria-label": `${named(column)} ${word}`,
      value,
      placeholder: bound === null ? "" : String(bound),
    });
  const low = input("from", from, min === null ? null : Math.floor(min));
  const high = input("to", to, max === null ? null : Math.ceil(max));
  const bound = ({ value }) => (value === "" ? null : Number(value));
  const apply = () => acts.narrow(column, bound(low), bound(high));
  for (const one of [low, high]) one.addEventListener("change", apply);
  return h(
    "section.group",
    { "aria-label": named(column), "data-edited": column },
    h("h2", {}, named(column)),
    histogram.length > 1 && bars(histogram, from ?? -Infinity, to ?? Infinity),
    h("div.range", {}, low, h("span", { "aria-hidden": "true" }, "–"), high),
  );
}

function bars(histogram, from, to) {
  const most = Math.max(...histogram.map((bin) => bin.count));
  const drawn = histogram.map((bin) => {
    const bar = h("i", { class: bin.max >= from && bin.min <= to ? "on" : null });
    bar.style.height = `${bin.count ? Math.max(6, (100 * bin.count) / most) : 0}%`;
    return bar;
  });
  return h("div.histogram", { "aria-hidden": "true" }, drawn);
}
