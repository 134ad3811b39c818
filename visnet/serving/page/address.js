// The address holds all that is shown: what was asked, how it is narrowed, how far it is read, and the way there.

import * as filters from "./filter.js";
import { ROOT } from "./root.js";

export const PAGE = 24; // products at a time
export const MOST = 2048; // what the service answers at most
const STEPS = 8; // of the way that are kept

const KINDS = { q: "query", p: "product" };
const LETTERS = { query: "q", product: "p" };

/** Read an address (a URL): `kind` is "start", "query" or "product"; `offset` is that of the last page shown. */
export function read(url) {
  const path = url.pathname.startsWith(ROOT) ? url.pathname.slice(ROOT.length) : "";
  const [, letter, rest] = path.match(/^([qp])\/(.+)$/) ?? [];
  const words = url.searchParams;
  const offset = Number.parseInt(words.get("offset") ?? "0", 10);
  return {
    kind: KINDS[letter] ?? "start",
    id: rest === undefined ? null : decoded(rest),
    filter: filters.read(words.get("filter")),
    offset: Math.min(Math.max(0, offset || 0), MOST - PAGE),
    details: words.get("view") === "merchandiser",
    trail: words
      .getAll("from")
      .filter((step) => /^[qp]\/./.test(step))
      .slice(-STEPS),
  };
}

/** Write the address of a state; what a state leaves out is left out. */
export function write(state) {
  const words = new URLSearchParams();
  const filter = filters.write(state.filter ?? filters.NONE);
  if (filter) words.set("filter", filter);
  if (state.offset) words.set("offset", state.offset);
  if (state.details) words.set("view", "merchandiser");
  for (const step of state.trail ?? []) words.append("from", step);
  const path = ROOT + (state.kind === "start" ? "" : `${LETTERS[state.kind]}/${encodeURIComponent(state.id)}`);
  return words.size ? `${path}?${words}` : path;
}

/** Return the state in which a product is asked for from here; one that was passed on the way is gone back to. */
export function towards(state, id) {
  const trail = state.kind === "start" ? [] : [...state.trail, step(state)];
  const passed = trail.findIndex((one) => sameAs(back(one), "product", id));
  const kept = passed < 0 ? trail : trail.slice(0, passed);
  return { kind: "product", id, filter: filters.NONE, details: state.details, trail: kept.slice(-STEPS) };
}

/** Return the states of the way, oldest first; each has the way before it. */
export function way(state) {
  return state.trail.map((one, at) => ({ ...back(one), details: state.details, trail: state.trail.slice(0, at) }));
}

/** A state as a step of a way: its address without the way before it. */
function step({ kind, id, filter, offset }) {
  return write({ kind, id, filter, offset }).slice(ROOT.length);
}

function back(one) {
  return read(new URL(ROOT + one, "http://page"));
}

function sameAs(state, kind, id) {
  return state.kind === kind && state.id === id;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // no encoding of anything: the service will say that it does not know it
  }
}
