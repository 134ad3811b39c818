// What the start says of the shop, once the service has said it.

import { catalog } from "./api.js";
import { count, products } from "./words.js";

/**
 * Say how much is searched; return {linked, tells}: whether photos may be addresses, and whether a model of categories is
 * served. Neither where the service cannot be asked: what is searched for then says so.
 */
export async function greet(node) {
  try {
    const { products: number, categories, taxonomy, url_photos: linked } = await catalog();
    const kinds = `${count(categories.length)} ${categories.length === 1 ? "category" : "categories"}`;
    node.textContent = `Searches ${products(number)} in ${kinds}.`;
    return { linked, tells: Boolean(taxonomy) };
  } catch {
    return { linked: false, tells: false };
  }
}
