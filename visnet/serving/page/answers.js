// What was answered, kept as long as the page is open: going back costs nothing, "more" asks only for what is next.

import * as api from "./api.js";
import { MOST, PAGE } from "./address.js";
import { titled } from "./words.js";

const KEPT = 40;
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
  const answer = await api.search(given, signal);
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
 * Answer a state: {asked, results, total, reach, cut, facets, lineage}. `reach`: how many can be read at all;
 * `cut`: not all were looked at.
 */
export async function load(state, signal) {
  return state.kind === "query" ? ofQuery(state, signal) : ofProduct(state, signal);
}

async function ofQuery(state, signal) {
  const { id, category, colour } = state;
  const wanted = colour ? MOST : state.offset + PAGE; // the service narrows by category, this page by colour
  const ask = (narrowed) => (words) => {
    const all = narrowed ? { ...words, category: narrowed } : words;
    return here.has(id) ? api.search({ ...here.get(id), words: all }, signal) : api.query(id, all, signal);
  };
  const list = await filled(["query", id, category], wanted, ask(category));
  const all = category ? await filled(["query", id, null], 1, ask(null)) : list; // to choose another category from
  const results = list.results.filter((hit) => !colour || hit.colour === colour);
  return {
    asked: { photo: list.photo, boxes: list.boxes },
    results: results.slice(0, state.offset + PAGE),
    total: colour ? results.length : list.total,
    reach: colour ? results.length : Math.min(list.total, MOST),
    cut: list.total > MOST,
    facets: { category: named(all.facets.category), colour: named(list.facets.colour) },
    lineage: list.lineage,
  };
}

async function ofProduct(state, signal) {
  const { id, category, colour } = state;
  const [product, list] = await Promise.all([
    single(["product", id, "facts"], () => api.product(id, signal)),
    filled(["product", id, null], MOST, (words) => api.similar(id, words, signal)), // a short list: narrowed here
  ]);
  note(product, product.photos[0]?.url);
  const within = list.results.filter((hit) => !category || hit.category === category);
  const results = within.filter((hit) => !colour || hit.colour === colour);
  return {
    asked: { product },
    results: results.slice(0, state.offset + PAGE),
    total: results.length,
    reach: results.length,
    cut: false,
    facets: { category: counted(list.results, "category"), colour: counted(within, "colour") },
    lineage: list.lineage,
  };
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

/** Leave out what has no name: products of which the shop says no colour. */
const named = (counts) => counts.filter(({ value }) => value);

function counted(results, name) {
  const counts = new Map();
  for (const { [name]: value } of results) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => ({ value, count })).sort((a, b) => b.count - a.count);
}
