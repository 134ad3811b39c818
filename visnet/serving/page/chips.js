// What narrows the answers now: each part is a link that takes it away again.

import { write } from "./address.js";
import { h } from "./elements.js";
import * as filters from "./filter.js";
import { bounds, named, valued } from "./words.js";

const PLAIN = new Set(["category", "colour"]); // columns whose values say which they are of

/** Show what is set; nothing where nothing is. */
export function chips(state) {
  const { filter } = state;
  if (filters.empty(filter)) return null;
  const link = (words, rest, key, removed = words) =>
    h(
      "li",
      {},
      h(
        "a.chip",
        {
          href: write({ ...state, filter: rest, offset: 0 }),
          "data-route": true,
          "data-key": `chip-${key}`,
          "aria-label": `Remove ${removed}`,
        },
        words,
        h("span", { "aria-hidden": "true" }, "×"),
      ),
    );
  const level = (column, path) => {
    const words = valued(column, path);
    return link(words, filters.without(filter, column), `${column}-${path}`, `${named(column)}: ${words}`);
  };
  const parts = Object.entries(filter.columns).flatMap(([column, { values, below, min, max }]) => {
    if (below !== undefined) return [level(column, below)];
    if (!values) return [link(`${named(column)} ${bounds(min, max)}`, filters.without(filter, column), column)];
    return values.map((value) => {
      const words = valued(column, value);
      const whole = `${named(column)}: ${words}`;
      const rest = filters.toggled(filter, column, value);
      return link(PLAIN.has(column) ? words : whole, rest, `${column}-${value}`, whole);
    });
  });
  if (filter.rest.length) parts.push(link("Further conditions", { ...filter, rest: [] }, "rest"));
  if (parts.length > 1) parts.push(h("li", {}, all(state, "Remove all", "a.chip.plain")));
  return h("ul.chips", { "aria-label": "Filters that are set" }, parts);
}

/** Make the link that takes all filters away. */
export function all(state, words, tag) {
  const href = write({ ...state, filter: filters.NONE, offset: 0 });
  return h(tag, { href, "data-route": true, "data-key": words }, words);
}
