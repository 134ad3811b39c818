// What narrows the results: a category, a colour. Each value is a link, so it can be opened, kept and gone back from.

import { write } from "./address.js";
import { h } from "./elements.js";
import { capital, count } from "./words.js";

const SHOWN = 10; // values of a facet; the rest is folded away where they stand below each other

/** Show the facets of an answer, and which values the state has chosen. */
export function facets(found, state) {
  const plain = { ...state, offset: 0 };
  return [
    group("Category", found.category, state.category, (value) => ({ ...plain, category: value, colour: null })),
    group("Colour", found.colour, state.colour, (value) => ({ ...plain, colour: value })),
  ];
}

/** Leave room for what narrows, on a phone, where the results stand below it. */
export const waiting = () => [h("div.room"), h("div.room")];

function group(name, values, chosen, to) {
  if (chosen && !values.some(({ value }) => value === chosen)) values = [{ value: chosen }, ...values];
  if (values.length < 2 && !chosen) return null;
  const item = (label, value, number) => {
    const current = (value ?? null) === (chosen ?? null);
    return h(
      "li",
      {},
      h(
        "a.facet",
        {
          href: write(to(value)),
          "data-route": true,
          "data-key": `${name}-${value}`,
          "aria-current": current ? "true" : null,
        },
        name === "Colour" && value && h("span.swatch", { "data-colour": value.toLowerCase(), "aria-hidden": "true" }),
        h("span", {}, label),
        number !== undefined && h("span.number", {}, count(number)),
      ),
    );
  };
  const items = values.map(({ value, count: number }) => item(capital(value), value, number));
  const folded = items.length > SHOWN + 2 && values.findIndex(({ value }) => value === chosen) < SHOWN;
  const unfold = ({ target }) => {
    target.parentNode.classList.remove("folded");
    target.parentNode.querySelectorAll(".facet")[SHOWN + 1].focus();
    target.remove();
  };
  return h(
    "section.group",
    { "aria-label": name, class: folded ? "group folded" : null },
    h("h2", {}, name),
    h("ul", {}, item("All", null), items),
    folded &&
      h("button.unfold", { type: "button", "data-key": `${name}-more`, click: unfold }, `${items.length - SHOWN} more`),
  );
}
