// Items on a page, one at a time, each confirmed or dismissed. The server's file is the truth about decisions, and is
// written at once. What the items are, the page says.
import { $, element, keys, marks, photo } from "./judging.js";

const SIGNS = { confirmed: "✓", dismissed: "✗" };

const pictures = new Map();          // kept, so that a redrawn page does not flicker
/** Return the picture of a crop; `place` tells apart those that are shown at once. */
export function picture(crop, place = 0) {
  const name = `${place} ${crop}`;
  if (!pictures.has(name)) pictures.set(name, element("img", { src: photo(crop), alt: `photo ${place + 1}` }));
  return pictures.get(name);
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/**
 * Run the page, deciding.html. heading: what it is called. items: each with keys (of what is decided), crops (shown small) and title. words: what a decision of each
 * kind is called. noun: what one item is, in the plural. figures and evidence: what is shown of an item, elements and
 * [name, value]. wrong: the decision that is shown in red. mark: the fields of a mark but what and on, from an item's keys.
 */
export async function decide({ heading, about, items: given, words, noun, figures, evidence, mark, wrong = "dismissed" }) {
  const items = given.map((item) => ({ ...item, name: JSON.stringify(item.keys) }));
  let decided = new Map();           // item -> decision
  let here = 0, moved = false;       // whether a person was quicker than the first answer
  const done = [];                   // what undo takes back, last last

  let written = [];                  // the decisions as the server last said them
  const request = marks((rows) => {
    written = rows;
    decided = new Map(written.map(([what, ...of]) => [JSON.stringify(of), what]));
    draw();
  });

  function put(item, what, on) {
    if (on) decided.set(item.name, what); else decided.delete(item.name);   // shown at once, again when written
    return request({ what, ...mark(item.keys), on });
  }

  function judge(what) {
    const item = items[here], before = decided.get(item.name);
    if (before === what) return go(here + 1);
    done.push({ item, what, before });
    put(item, what, true);
    const open = items.findIndex((other, place) => place > here && !decided.has(other.name));
    go(open >= 0 ? open : Math.min(here + 1, items.length - 1));
  }

  function undo() {
    const step = done.pop();
    if (!step) return;
    if (step.before) put(step.item, step.before, true); else put(step.item, step.what, false);
    go(items.indexOf(step.item));
  }

  function go(place) {
    moved = true;
    here = Math.max(0, Math.min(items.length - 1, place));
    draw();
  }

  function strip() {
    $("strip").replaceChildren(...items.map((item, place) => element(
      "button", { className: "mini", onclick: () => go(place), title: item.title },
      element("span", { textContent: place + 1 }),
      ...item.crops.map((crop) => element("img", { src: photo(crop), alt: "", loading: "lazy" })),
    )));
  }

  function draw() {
    const item = items[here], what = decided.get(item.name);
    const counts = Object.keys(words).map((word) => items.filter((one) => decided.get(one.name) === word).length);
    const seen = counts[0] + counts[1];
    $("shown").textContent = `${items.length} of ${about.total} undecided ${noun}`;
    $("counted").replaceChildren(element("b", { textContent: seen }), ` of ${items.length} decided · ${counts[0]} confirmed`);
    Object.assign($("done"), { value: seen, max: items.length });
    $("at").textContent = `${here + 1} / ${items.length}`;
    $("relation").textContent = item.title + (what ? ` · ${words[what]}` : "");
    $("relation").className = what ?? "";
    $("pair").replaceChildren(...figures(item));
    $("evidence").replaceChildren(...evidence(item).map(([name, value]) => element("div", {},
      element("dt", { textContent: name }), element("dd", { textContent: value }))));
    $("confirm").ariaPressed = String(what === "confirmed");
    $("dismiss").ariaPressed = String(what === "dismissed");
    $("back").disabled = !here;
    $("next").disabled = here === items.length - 1;
    $("undo").disabled = !done.length;
    for (const [place, button] of [...$("strip").children].entries()) {
      const was = decided.get(items[place].name);
      button.className = `mini${place === here ? " here" : ""}${was ? " judged" : ""}${was === wrong ? " wrong" : ""}`;
      button.firstChild.dataset.sign = was ? SIGNS[was] : "";
    }
    $("strip").children[here].scrollIntoView({ block: "nearest", inline: "nearest" });
    const rows = `${written.length} ${written.length === 1 ? "decision" : "decisions"} in `;
    $("todo").replaceChildren(seen === items.length ? "All are decided. " : "", rows, element("code", { textContent: about.file }),
      ". ", element("code", { textContent: "dvc repro" }), " honours them, and none is asked again.");
  }

  const KEYS = {
    y: () => judge("confirmed"), n: () => judge("dismissed"), u: undo, " ": () => go(here + 1),
    ArrowRight: () => go(here + 1), j: () => go(here + 1), ArrowLeft: () => go(here - 1), k: () => go(here - 1),
  };
  keys((event) => {
    if (event.key === " " && event.target.tagName === "BUTTON") event.target.blur();
    return KEYS[event.key];
  });
  $("confirm").onclick = () => judge("confirmed");
  $("dismiss").onclick = () => judge("dismissed");
  $("next").onclick = () => go(here + 1);
  $("back").onclick = () => go(here - 1);
  $("undo").onclick = undo;

  document.title = $("heading").textContent = heading;
  $("strip").ariaLabel = `All ${noun}`;
  document.body.classList.add(`wrong-${wrong}`);
  document.body.classList.toggle("single", figures(items[0]).length === 1);
  for (const [what, said] of Object.entries(words)) {
    for (const place of document.getElementsByClassName(what)) place.textContent = said;
  }
  strip();
  draw();
  await request();
  if (!moved) here = Math.max(0, items.findIndex((item) => !decided.has(item.name)));
  draw();
}
