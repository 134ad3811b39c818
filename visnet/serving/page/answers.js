// What was answered, kept as long as the page is open: going back costs nothing, "more" asks only for what is next.

import * as api from "./api.js";
import { MOST, PAGE } from "./address.js";
import * as filters from "./filter.js";
import { isPath, titled } from "./words.js";

const KEPT = 40;
const COLUMNS = 24; // of the catalog, to choose from
const lists = new Map(); // key -> {results, total, facets, lineage, photo, boxes}
const here = new Map(); // id -> {files, box} of the searches that the service did not keep
const facts = new Map(); // product_id -> {title, photo}, of all products seen

/**
 * Search, and keep the answer, so that its address shows it without asking again; return its id.
 *
 * asked: {files, box}, {url} or {query, box}. A service that keeps no photos gives no id: its photos are kept here, as long
 * as the page is open.
 */
export async function search(asked, signal) {
  const own = here.get(asked.query);
  const given = own ? { ...own, box: asked.box } : asked;
  const answer = await counted((words) => api.search({ ...given, words }, signal), {});
  const id = answer.query_id ?? `here-${here.size + 1}`;
  if (!answer.query_id) here.set(id, given);
  keep(["query", id, null], answer);
  return id;
}

/** Return what is known of a product's name and photo. */
export const known = (id) => facts.get(id);

/** Ask for the names of the products of a way that were not seen yet; true when there were any. */
export async function learn(states) {
  const ids = states.filter((state) => state.kind === "product" && !facts.has(state.id)).map((state) => state.id);
  const found = await Promise.allSettled(ids.map((id) => api.product(id)));
  for (const { value } of found) if (value) note(value, value.photos[0]?.url);
  return found.some(({ value }) => value);
}

/**
 * Answer a state: {asked, results, total, reach, cut, inCatalog, facets, lineage}. `reach`: how many can be read at all;
 * `cut`: not all were looked at; `inCatalog`: how probable it is that the shop has it, null where that is not known.
 */
export async function load(state, signal) {
  return state.kind === "query" ? ofQuery(state, signal) : ofProduct(state, signal);
}

async function ofQuery(state, signal) {
  const { id } = state;
  const ask = (words) => (here.has(id) ? api.search({ ...here.get(id), words }, signal) : api.query(id, words, signal));
  const [list, facets] = await narrowed(state, ask);
  return { asked: { photo: list.photo, boxes: list.boxes }, ...shown(state, list), facets };
}

async function ofProduct(state, signal) {
  const { id } = state;
  const [product, [list, facets]] = await Promise.all([
    single(["product", id, "facts"], () => api.product(id, signal)),
    narrowed(state, (words) => api.similar(id, words, signal)),
  ]);
  note(product, product.photos[0]?.url);
  return { asked: { product }, ...shown(state, list), facets };
}

function shown(state, list) {
  return {
    results: list.results.slice(0, state.offset + PAGE),
    total: list.total,
    reach: Math.min(list.total, MOST),
    cut: list.total > MOST,
    inCatalog: list.in_catalog ?? null,
    lineage: list.lineage,
  };
}

/**
 * Return the list of a state, and its facets: those of a column that is narrowed are of the answers without that, so
 * that another of its values can be chosen. Levels are counted below the one that is chosen.
 */
async function narrowed({ kind, id, filter, offset }, ask) {
  const within = (part, wanted) => {
    const text = filters.write(part);
    return filled([kind, id, text], wanted, (words) => counted(ask, text ? { ...words, filter: text } : words));
  };
  const columns = Object.keys(filter.columns).filter((column) => filter.columns[column].below === undefined);
  const [list, ...others] = await Promise.all([
    within(filter, offset + PAGE),
    ...columns.map((column) => within(filters.without(filter, column), 1)),
  ]);
  const facets = { ...list.facets };
  columns.forEach((column, at) => {
    if (column in others[at].facets) facets[column] = others[at].facets[column];
  });
  return [list, facets];
}

/** Ask with the facets that are worth it; once more where another catalog has come, which lacks one of them. */
async function counted(ask, words) {
  const facets = async () => ({ ...words, facets: (await columns()).join(",") });
  try {
    return await ask(await facets());
  } catch (error) {
    if (error.status !== 422 || !error.message.startsWith("facets:")) throw error;
    offered = null;
    return ask(await facets());
  }
}

let offered = null; // the names of the columns, once they are known

/** Return the columns to choose from: of texts those that products share, and numbers. */
async function columns() {
  offered ??= api.catalog().then(
    ({ columns: all, products }) =>
      all
        .filter(({ name, kind, distinct }) => kind === "number" || (name !== "title" && distinct <= products / 2))
        .filter(({ name }) => !name.includes(","))
        .map(({ name, values }) => (isPath(name) && values.some(({ value }) => value.includes("/")) ? `${name}/` : name))
        .slice(0, COLUMNS),
    () => {
      offered = null;
      return ["category", "colour"];
    },
  );
  return offered;
}

/** Return the list of a key with at least `wanted` results, if there are so many; ask only for those it lacks. */
async function filled(key, wanted, ask) {
  const list = lists.get(JSON.stringify(key));
  const have = list?.results.length ?? 0;
  if (list && have >= Math.min(wanted, list.total, MOST)) return keep(key, list);
  const next = await ask({ offset: have, limit: Math.min(wanted, MOST) - have });
  if (!list) return keep(key, next);
  if (next.lineage.catalog_version !== list.lineage.catalog_version) {
    return keep(key, await ask({ offset: 0, limit: Math.min(wanted, MOST) })); // another catalog: no page of two
  }
  return keep(key, { ...list, results: [...list.results, ...next.results] });
}

async function single(key, ask) {
  return keep(key, lists.get(JSON.stringify(key)) ?? (await ask()));
}

function keep(key, list) {
  const name = JSON.stringify(key);
  lists.delete(name);
  lists.set(name, list);
  for (const oldest of [...lists.keys()].slice(0, Math.max(0, lists.size - KEPT))) lists.delete(oldest);
  for (const hit of list.results ?? []) note(hit, hit.photo_url);
  return list;
}

function note(product, photo) {
  facts.set(product.product_id, { title: titled(product), photo });
}
