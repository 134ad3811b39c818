// The results: cards with a picture, and in words how alike it is; more of them; or that there are none.

import { sized } from "./api.js";
import { MOST, PAGE, towards, write } from "./address.js";
import { all, chips } from "./chips.js";
import { h, icon, picture } from "./elements.js";
import { empty } from "./filter.js";
import { below } from "./root.js";
import { trace } from "./trace.js";
import { absent, count, digits, kind, likeness, price, products, time, titled } from "./words.js";

const WAITING = 12; // cards that stand in for those to come
const LONG_MS = 8000;
const EAGER = 8; // pictures that do not wait to be scrolled to
const cards = new WeakMap(); // a hit -> its card, so that a picture that is shown stays

/**
 * Show results under their heading. `more` is called for the next page, `again` once a trace has come. `looks`: the address
 * of a picture of where the model of categories looks, if it is to be shown.
 */
export function results(answer, state, { busy, looks, more, again }) {
  const shown = answer.results.length;
  const heading = state.kind === "query" ? ["Products like your photo"] : like(titled(answer.asked.product));
  const lacks = shown ? absent(answer.inCatalog, !empty(state.filter)) : null;
  return [
    h(
      "header.heading",
      {},
      h("h1", { tabindex: -1, "data-key": "heading" }, ...heading),
      h("p.soft", {}, answer.total ? `${products(answer.total)}, most alike first` : ""),
    ),
    lacks && h("p.lacks", {}, lacks),
    chips(state),
    state.details && lineage(answer),
    looks && seen(looks),
    state.details && state.kind === "product" && trace(state.id, answer.lineage.catalog_version, again),
    shown
      ? h(
          "ul.grid",
          { "aria-busy": String(busy) },
          answer.results.map((hit, at) => card(hit, at, state, answer.inCatalog)),
        )
      : nothing(state),
    shown > 0 && end(shown, answer, more),
  ];
}

const like = (title) => ["Products like ", h("bdi", {}, title)];

/** Stand in for results that are asked for: those of a photo, or of a product whose `title` is known or not. */
export function waiting(photo, title) {
  const heading = photo ? ["Searching with your photo"] : title ? like(title) : ["Searching"];
  const moment = h("p.soft", {}, "One moment …");
  setTimeout(() => (moment.textContent = "This takes longer than usual …"), LONG_MS);
  const blank = () =>
    h("li.card.blank", {}, h("div.picture.skeleton"), h("div.line.skeleton"), h("div.line.short.skeleton"));
  return [
    h("header.heading", {}, h("h1", { tabindex: -1, "data-key": "heading" }, ...heading), moment),
    h("ul.grid", { "aria-hidden": "true" }, Array.from({ length: WAITING }, blank)),
  ];
}

/** Say that there are no results because of what the notice above tells; `passes`: that may go well in a moment. */
export function failed(photo, passes) {
  const kept = photo ? "Your photo is kept until you choose another one." : "They come once the search can be reached.";
  return [
    h(
      "header.heading",
      {},
      h("h1", { tabindex: -1, "data-key": "heading" }, passes ? "No results yet" : "No results"),
      passes && h("p.soft", {}, kept),
    ),
  ];
}

function seen(looks) {
  const alt = "Where the model of categories looks, level by level";
  const image = h("img", { src: below(looks), alt });
  const figure = h("figure.looks", {}, h("figcaption.soft", {}, `${alt}.`), h("a", { href: below(looks) }, image));
  image.addEventListener("error", () => figure.remove());
  return figure;
}

function end(shown, { total, reach, cut }, more) {
  const left = reach - shown;
  const limit = cut && left <= 0 ? `; only the ${count(MOST)} most alike are looked at` : "";
  return h(
    "footer.end",
    {},
    h("p.soft", {}, `${count(shown)} of ${products(total)}${limit}`),
    left > 0 &&
      h("button.button", { type: "button", "data-key": "more", click: more }, `Show ${Math.min(PAGE, left)} more`),
  );
}

function nothing(state) {
  if (empty(state.filter)) {
    const words = "The catalog has no product like this. Try another photo, or another area of it.";
    return h("div.nothing", {}, h("h2", {}, "Nothing found"), h("p", {}, words));
  }
  return h(
    "div.nothing",
    {},
    h("h2", {}, "No product matches"),
    h("p", {}, "Remove a filter above to see more products."),
    all(state, "Remove all filters", "a.button"),
  );
}

function card(hit, at, state, inCatalog) {
  const { details } = state;
  const kept = cards.get(hit);
  const node = kept?.details === details ? kept.node : built(hit, at, details, inCatalog);
  cards.set(hit, { details, node });
  node.querySelector("a").setAttribute("href", write(towards(state, hit.product_id)));
  return node;
}

function built(hit, at, details, inCatalog) {
  const named = titled(hit);
  return h(
    "li.card",
    {},
    h("div.picture", {}, picture(sized(hit.photo_url, 320), "", { eager: at < EAGER })),
    alike(likeness(hit.probability, inCatalog)),
    h("h2.title", { dir: "auto" }, named),
    h("p.price", {}, price(hit.attributes)),
    h("p.soft.kind", {}, kind(hit)),
    details && numbers(hit),
    h(
      "a.more",
      { "data-route": true, "data-key": `hit-${hit.product_id}`, "aria-label": `More like this: ${named}` },
      "More like this",
      icon("next"),
    ),
  );
}

/** Say how alike it is, in words and in as many bars. */
function alike(row) {
  if (!row) return null;
  const bars = [1, 2, 3, 4].map((bar) => h("i", { class: bar <= row.level ? "on" : null }));
  return h("p.alike", { "data-level": row.level }, h("span.bars", { "aria-hidden": "true" }, bars), row.words);
}

function numbers(hit) {
  return listed("numbers", {
    Product: hit.product_id,
    Photo: hit.photo_id,
    "Squared distance": digits(hit.sq_distance),
    Probability: digits(hit.probability),
    ...(hit.category_told && { Category: "told by its photos" }),
    Answer: hit.exact ? "exact" : "approximate",
  });
}

function lineage({ lineage: of, inCatalog }) {
  return listed("lineage", {
    ...(inCatalog !== null && { "The shop has it": digits(inCatalog) }),
    "Catalog version": of.catalog_version,
    Published: time(of.published),
    Model: of.model,
    "MLflow run": of.mlflow_run ?? "none",
    "Dagster run": of.dagster_run ?? "none",
    Search: of.exact ? "exact" : "approximate",
  });
}

function listed(name, facts) {
  return h(
    `dl.${name}`,
    {},
    Object.entries(facts).map(([term, fact]) =>
      h("div", {}, h("dt", {}, term), h("dd", { title: String(fact) }, String(fact))),
    ),
  );
}
