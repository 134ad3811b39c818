// What went wrong, in words, and what can be done about it.

import { h, icon } from "./elements.js";
import { sentence } from "./words.js";

/** Tell a problem. `details`: with the request's id; `acts`: words -> what their button does, left out where null. */
export function notice(problem, details, acts) {
  const buttons = Object.entries(acts).filter(([, press]) => press);
  return h(
    "div.notice",
    { role: "alert" },
    icon("fault"),
    h(
      "div",
      {},
      h("h2", {}, problem.title),
      h("p", {}, sentence(problem.message)),
      problem.said && h("p.soft", {}, sentence(problem.said)),
      details && problem.request && h("p.soft", {}, `Request ${problem.request}`),
    ),
    h(
      "p.buttons",
      {},
      buttons.map(([words, press]) => h("button.button.small", { type: "button", click: press }, words)),
    ),
  );
}
