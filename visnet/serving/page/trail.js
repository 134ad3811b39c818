// The way here: each step is a link back to what was asked then.

import { sized } from "./api.js";
import { known } from "./answers.js";
import { write } from "./address.js";
import { h, picture } from "./elements.js";

/** Show the steps of a way and where one is now; nothing where there was no step before. */
export function trail(steps, now) {
  if (!steps.length) return [];
  const items = steps.map((state) =>
    h("li", {}, h("a", { href: write(state), "data-route": true, "data-key": `step-${state.id}` }, ...named(state))),
  );
  return [h("ol", {}, ...items, h("li", {}, h("span", { "aria-current": "page" }, ...named(now))))];
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
  return [photo, h("span", {}, product?.title ?? state.id)];
}
