// One pair at a time: one listing or two. The server's file is the truth about decisions, and is written at once.
import { $, element, keys, marks, photo } from "./judging.js";

const about = await (await fetch("duplicates")).json();
const items = about.pairs.map((pair) => ({ ...pair, name: JSON.stringify(pair.keys) }));
const SIGNS = { confirmed: "✓", dismissed: "✗" };
const WORDS = { confirmed: "one listing", dismissed: "two listings" };

let decided = new Map();             // pair -> decision
let here = 0;
const done = [];                     // what undo takes back, last last

let written = [];                    // the decisions as the server last said them
const request = marks((rows) => {
  written = rows;
  decided = new Map(written.map(([what, a, b]) => [JSON.stringify([a, b]), what]));
  draw();
});

function put(item, what, on) {
  if (on) decided.set(item.name, what); else decided.delete(item.name);   // shown at once, again when written
  const [a, b] = item.keys;
  return request({ what, a, b, on });
}

function decide(what) {
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
  here = Math.max(0, Math.min(items.length - 1, place));
  draw();
}

const pictures = new Map();          // kept, so that a redrawn page does not flicker
function picture(item, side) {
  const name = `${side} ${item.crops[side]}`;
  if (!pictures.has(name)) pictures.set(name, element("img", { src: photo(item.crops[side]), alt: `photo ${side + 1}` }));
  return pictures.get(name);
}

function figure(item, side) {
  const [own, other] = [about.crops[item.crops[side]], about.crops[item.crops[1 - side]]];
  const word = (name) => element("span", {
    textContent: own[name] || `no ${name}`, className: own[name] && own[name] === other[name] ? "same" : "",
  });
  return element("figure", {},
    element("div", { className: "photo" }, picture(item, side)),
    element("figcaption", {}, element("b", { textContent: own.product_id }),
      element("div", {}, word("category"), " · ", word("colour")),
      element("div", { className: "product", textContent: own.photo_id })));
}

function evidence(item) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const rows = [
    ["probability", percent(item.score)], ["same structure", percent(item.exact)],
    ["colour difference", item.colour.toFixed(1)], ["found by", item.found_by || "nearest in its category"],
  ];
  return rows.map(([name, value]) => element("div", {},
    element("dt", { textContent: name }), element("dd", { textContent: value })));
}

function strip() {
  $("strip").replaceChildren(...items.map((item, place) => element(
    "button", { className: "mini", onclick: () => go(place), title: item.relation },
    element("span", { textContent: place + 1 }),
    ...item.crops.map((crop) => element("img", { src: photo(crop), alt: "", loading: "lazy" })),
  )));
}

function draw() {
  const item = items[here], what = decided.get(item.name);
  const counts = Object.keys(WORDS).map((word) => items.filter((one) => decided.get(one.name) === word).length);
  const seen = counts[0] + counts[1];
  $("shown").textContent = `${items.length} of ${about.total} undecided pairs`;
  $("counted").replaceChildren(element("b", { textContent: seen }), ` of ${items.length} decided · ${counts[0]} confirmed`);
  Object.assign($("done"), { value: seen, max: items.length });
  $("at").textContent = `${here + 1} / ${items.length}`;
  $("relation").textContent = item.relation + (what ? ` · ${WORDS[what]}` : "");
  $("relation").className = what ?? "";
  $("pair").replaceChildren(figure(item, 0), figure(item, 1));
  $("evidence").replaceChildren(...evidence(item));
  $("confirm").ariaPressed = String(what === "confirmed");
  $("dismiss").ariaPressed = String(what === "dismissed");
  $("back").disabled = !here;
  $("next").disabled = here === items.length - 1;
  $("undo").disabled = !done.length;
  for (const [place, button] of [...$("strip").children].entries()) {
    const was = decided.get(items[place].name);
    button.className = `mini${place === here ? " here" : ""}${was ? " judged" : ""}${was === "dismissed" ? " wrong" : ""}`;
    button.firstChild.dataset.sign = was ? SIGNS[was] : "";
  }
  $("strip").children[here].scrollIntoView({ block: "nearest", inline: "nearest" });
  const rows = `${written.length} ${written.length === 1 ? "decision" : "decisions"} in `;
  $("todo").replaceChildren(seen === items.length ? "All are decided. " : "", rows, element("code", { textContent: about.file }),
    ". ", element("code", { textContent: "dvc repro" }), " honours them, and none is asked again.");
}

const KEYS = {
  y: () => decide("confirmed"), n: () => decide("dismissed"), u: undo, " ": () => go(here + 1),
  ArrowRight: () => go(here + 1), j: () => go(here + 1), ArrowLeft: () => go(here - 1), k: () => go(here - 1),
};
keys((event) => {
  if (event.key === " " && event.target.tagName === "BUTTON") event.target.blur();
  return KEYS[event.key];
});
$("confirm").onclick = () => decide("confirmed");
$("dismiss").onclick = () => decide("dismissed");
$("next").onclick = () => go(here + 1);
$("back").onclick = () => go(here - 1);
$("undo").onclick = undo;

strip();
draw();
await request();
here = Math.max(0, items.findIndex((item) => !decided.has(item.name)));
draw();
