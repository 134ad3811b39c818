// The service's answers over HTTP; what goes wrong is a `Problem`, with the service's own words where it has some.

import { below } from "./root.js";

const WAITS = 2; // times that a busy service is asked again, after as long as it says
const LONGEST_WAIT_S = 5;
const HEAVY_BYTES = 16_000_000; // of all photos together: from here on, a connection that breaks may be because of them

/** What the service refused (RFC 9457), or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, title, detail, request, said) {
    super(detail);
    this.said = said; // the service's own words, where `detail` is what a shopper can do
    this.status = status;
    this.title = title;
    this.request = request;
  }

  /** Whether the same may go well in a moment. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Fetch JSON from a path of this origin; `signal` ends it with an AbortError. */
export async function ask(path, { body, signal } = {}) {
  for (let waits = 0; ; waits += 1) {
    const answer = await reach(path, { method: body ? "POST" : "GET", body, signal });
    const wait = Number(answer.headers.get("Retry-After") ?? Number.NaN);
    const busy = (answer.status === 429 || answer.status === 503) && wait <= LONGEST_WAIT_S;
    if (!busy || waits === WAITS) return taken(answer, path);
    await pause(wait * 1000, signal);
  }
}

async function reach(path, options) {
  try {
    return await fetch(below(path), { headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The search cannot be reached", "Check the connection, then try again. Nothing is lost.");
  }
}

async function taken(answer, path) {
  let found = null;
  try {
    found = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (answer.ok && found) return found;
  const said = found?.detail ?? "The answer could not be read. Try again in a moment.";
  const [title, advice] = (answer.status === 404 && GONE.find(([part]) => path.startsWith(part))?.slice(1)) || [];
  const detail = advice ?? ADVICE[answer.status];
  throw new Problem(
    answer.status,
    title ?? TITLES[answer.status] ?? found?.title ?? "Something went wrong",
    detail ?? said,
    found?.request_id,
    detail && said,
  );
}

const GONE = [
  ["/v1/queries/", "This search is no longer kept", "Search again with the same photo."],
  ["/v1/products/", "This product is not in the shop", "Find one like it with a photo."],
];

const ADVICE = {
  413: "Choose a smaller one, or fewer of them.",
  415: "Choose another one.",
};

const TITLES = {
  400: "This cannot be searched for",
  404: "Not found",
  413: "This photo is too large",
  415: "This is not a photo that can be read",
  422: "This cannot be searched for",
  429: "Many are searching right now",
  500: "Something went wrong",
  502: "The search cannot be reached",
  503: "The search is busy or starting",
};

function pause(time, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, time);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("ended", "AbortError"));
    });
  });
}

/** Search with photos of one thing (files), an earlier search's, or that of an address (url); `box`: [left, top, right, bottom] in pixels. */
export async function search({ files = [], query, url, box, words = {} }, signal) {
  const body = new FormData();
  for (const file of files) body.append("photo", file, file.name || "photo");
  if (query) body.append("query_id", query);
  if (url) body.append("url", url);
  if (box) body.append("box", box.map((edge) => edge.toFixed(1)).join(","));
  for (const [name, value] of Object.entries(words)) body.append(name, value);
  try {
    return await ask("/v1/search", { body, signal });
  } catch (error) {
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    if (error.status !== 0 || bytes < HEAVY_BYTES) throw error;
    const size = `${Math.round(bytes / 1e6)} MB`; // a service may hang up on what it will not read
    throw new Problem(413, TITLES[413], `${size} did not get through. ${ADVICE[413]}`);
  }
}

const path = (...parts) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

export const query = (id, words, signal) => ask(`${path("queries", id)}?${new URLSearchParams(words)}`, { signal });
/** Where a picture is of what the model of categories looks at in a search's photo; nowhere, if the photo is not kept. */
export const looksOf = (id) => id.startsWith("q_") && `${path("queries", id)}/looks`;
export const product = (id, signal) => ask(path("products", id), { signal });
export const similar = (id, words, signal) =>
  ask(`${path("products", id, "similar")}?${new URLSearchParams(words)}`, { signal });
export const trace = (id, signal) => ask(path("products", id, "trace"), { signal });
export const catalog = (signal) => ask("/v1/catalog", { signal });

/** Where a photo of the catalog is at least so many pixels wide. */
export const sized = (url, side) => `${url}?side=${side}`;
