// What numbers are called. A probability is that of the same product, or that the shop has it at all; see
// visnet/evaluation/calibration.py.

// From a probability on, how a shopper reads it.
export const LIKENESS = [
  { from: 0.9, level: 4, words: "Very likely the same" },
  { from: 0.6, level: 3, words: "Likely the same" },
  { from: 0.25, level: 2, words: "Possibly the same" },
  { from: 0, level: 1, words: "Similar" },
];

const SELDOM = 0.25; // below this probability that the shop has it, it is said that it seems not to: no hit is "possibly" it

/**
 * Return the row of `LIKENESS` for a hit's probability in 0..1, or null where there is none.
 *
 * It is for a photo of what the shop has; `inCatalog` is how probable that is, null where it is not known.
 */
export function likeness(probability, inCatalog) {
  if (typeof probability !== "number") return null;
  const likely = probability * (inCatalog ?? 1);
  return LIKENESS.find((row) => likely >= row.from) ?? null;
}

/** Say that the shop seems not to have what a photo shows, or nothing that fits the filters; null where it may have it. */
export function absent(inCatalog, narrowed) {
  if (typeof inCatalog !== "number" || inCatalog >= SELDOM) return null;
  const lacks = narrowed ? "Nothing that fits your filters seems to be this" : "The shop seems not to have this";
  return `${lacks}. These look most like it.`;
}

const COUNT = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => COUNT.format(number);

export const products = (number) => `${count(number)} ${number === 1 ? "product" : "products"}`;

/** Name a product: by its title, or its id where there is none. */
export const titled = (product) => String(product.attributes?.title || product.product_id);

/** Return where a shop sells a product, of its attributes; null where none of them is such an address. */
export function shopPage(attributes) {
  const addresses = SOLD_AT.map((name) => attributes[name]).filter(isAddress);
  return addresses.find((address) => !PICTURE.test(new URL(address).pathname)) ?? null;
}

const SOLD_AT = ["url", "link", "href", "product_url", "product_link"];
const PICTURE = /\.(jpe?g|png|webp|gif|avif|bmp|tiff?)$/i;

/** Whether a value is an address of the web, which may become a link: no other scheme may. */
export const isAddress = (value) => /^https?:\/\/\S+$/i.test(value ?? "") && URL.canParse(value);

/** Say the service's words as a sentence, without the field's name that a program would look for. */
export const sentence = (text) => `${capital(text.replace(/^photo: /, "")).replace(/[.]$/, "")}.`;

/** Begin a value of a catalog with a capital, as a name on a page does. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Name a column of the catalog as a heading does: "Heel height". */
export const named = (column) => capital(column.replaceAll("_", " "));

/** Whether a column's values are paths, whose levels are chosen one after another. */
export const isPath = (column) => column === "category";

/** Say a level of a path, as visnet/taxonomy/paths.py writes it. */
export const level = (text) => capital(text.replaceAll("%2F", "/").replaceAll("%25", "%"));

/** Say a category, whose levels a path has between slashes: "Women › Western Wear". */
const trail = (path) => path.split("/").map(level).join(" › ");

/** Say a value of a column. */
export const valued = (column, value) => (isPath(column) ? trail : capital)(String(value));

/** Say bounds, null for none: "10 to 30". */
export function bounds(min, max) {
  if (min === null) return `up to ${max}`;
  return max === null ? `from ${min}` : `${min} to ${max}`;
}

/** Say what kind of product it is: "Shoes · black". */
export const kind = ({ category, colour }) => [valued("category", category ?? ""), colour].filter(Boolean).join(" · ");

/** Say a price as the shop does; a bare number in its currency (ISO 4217), or with two digits where there is none. */
export function price({ price: said, currency }) {
  const text = String(said ?? "");
  if (!/^\d+(\.\d+)?$/.test(text)) return text;
  if (!/^[A-Z]{3}$/.test(currency ?? "")) return Number(text).toFixed(2);
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(text);
}

export function time(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? String(iso) : TIME.format(date);
}

/** Say a distance or a probability with three digits. */
export const digits = (number) => (typeof number === "number" ? number.toFixed(3) : "none");
