// Where each address of the history was scrolled to, so that going back is going to where one was.

import { write } from "./address.js";

const KEPT_MS = 150; // after the last of a scroll's events

/** Write a new address; the one before keeps where it was scrolled to. */
export function push(state) {
  keep();
  history.pushState({}, "", write(state));
}

/** Return where the address that is shown now was scrolled to, 0 where it is new. */
export const kept = () => history.state?.y ?? 0;

/** Keep where the page is scrolled to, whenever that changes. */
export function listen() {
  history.scrollRestoration = "manual";
  let later;
  addEventListener("scroll", () => {
    clearTimeout(later);
    later = setTimeout(keep, KEPT_MS);
  });
}

const keep = () => history.replaceState({ ...history.state, y: scrollY }, "");
