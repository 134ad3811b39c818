// The way here: each step is a link back to what was asked then.

import { sized } from "./api.js";
import { known } from "./answers.js";
import { write } from "./address.js";
import { fill, h, picture } from "./elements.js";

/** Show in `node` the steps of a way and where one is now, which stays in sight; nothing where there was no step before. */
export function trail(node, steps, now) {
  const before = node.textContent;
  fill(node, items(steps, now));
  if (node.textContent !== before) node.scrollLeft = node.scrollWidth;
}

function items(steps, now) {
  if (!steps.length) return [];
  const passed = steps.map((state) =>
    h("li", {}, h("a", { href: write(state), "data-route": true, "data-key": `step-${state.id}` }, ...named(state))),
  );
  return [h("ol", {}, ...passed, h("li", {}, h("span", { "aria-current": "page" }, ...named(now))))];
}

function named(state) {
  if (state.kind === "query") {
    return [
      picture(`/v1/queries/${encodeURIComponent(state.id)}/photo`, "", { size: 32 }),
      h("span", {}, "Your photo"),
    ];
  }
  const product = known(state.id);
  const photo = product?.photo && picture(sized(product.photo, 64), "", { size: 32 });
  return [photo, h("span", { dir: "auto" }, product?.title ?? state.id)];
}
