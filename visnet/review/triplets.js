// One triplet at a time, judged by keyboard or mouse. The server's file is the truth about marks; which triplets have
// been looked at is remembered by the browser only.
import { $, element, keys, marks, photo } from "./judging.js";

const about = await (await fetch("triplets")).json();
const items = about.triplets.map(([q, p, n, kind]) => ({ crops: [q, p, n], kind, name: JSON.stringify([q, p, n]) }));
const ROLES = [
  { role: "query", marks: [["photo", "unusable photo"]] },
  { role: "positive", marks: [["positive", "no match"], ["photo", "unusable photo"]] },
  { role: "negative", marks: [["negative", "in truth alike"], ["photo", "unusable photo"]] },
];
const memory = `triplets ${about.place} ${about.split}`;
const news = new BroadcastChannel(memory);

let marked = new Set();
let judged = remembered() ?? new Set();
let filter = "all";
let view = items.map((_, i) => i);   // what the filter shows; fixed until another is chosen
let here = 0;                        // a place in view
const done = [];                     // what undo takes back, last last
const request = marks((rows) => {    // the file is looked at again by other tabs when it was written
  marked = new Set(rows.map((one) => key(...one)));
  draw();
}, () => news.postMessage("marked"));

const key = (what, a, b) => JSON.stringify(what === "photo" ? [what, a] : [what, ...[a, b].sort()]);
const row = (item, role, what) =>
  what === "photo" ? [what, item.crops[role], ""] : [what, item.crops[0], item.crops[role]];
const isMarked = (item, role, what) => marked.has(key(...row(item, role, what)));
const said = (item, role) => ROLES[role].marks.filter(([what]) => isMarked(item, role, what)).map(([, word]) => word);
const isWrong = (item) => [0, 1, 2].some((role) => said(item, role).length);
const isJudged = (item) => judged.has(item.name) || isWrong(item);

function remembered() {
  try { return new Set(JSON.parse(localStorage.getItem(memory)) ?? []); } catch { return null; }   // null: none to be had
}

function remember(item, on) {
  const kept = remembered();         // with what another tab has added
  judged = kept ?? judged;
  judged[on ? "add" : "delete"](item.name);
  if (kept) localStorage.setItem(memory, JSON.stringify([...judged]));
  news.postMessage("judged");
}

function put(one, on) {
  marked[on ? "add" : "delete"](key(...one));   // shown at once, and again when it is written
  draw();
  const [what, a, b] = one;
  return request({ what, a, b, on });
}

function toggle(role, what) {
  const item = items[view[here]], one = row(item, role, what), on = !marked.has(key(...one));
  done.push({ item, one, on, was: judged.has(item.name) });
  remember(item, true);
  put(one, on);
}

function fine() {
  const item = items[view[here]];
  done.push({ item, was: judged.has(item.name) });
  remember(item, true);
  const later = [...view.keys()].slice(here + 1);
  const open = [...view.keys()].find((place) => !isJudged(items[view[place]]));
  go(later.length ? here + 1 : open ?? here);
}

function undo() {
  const step = done.pop();
  if (!step) return;
  const number = items.indexOf(step.item);
  remember(step.item, step.was);
  if (!view.includes(number)) choose("all");
  go(view.indexOf(number));
  if (step.one) put(step.one, !step.on);
}

function go(place) {
  here = Math.max(0, Math.min(view.length - 1, place));
  draw();
}

const FILTERS = {
  all: () => true,
  ...Object.fromEntries(Object.keys(about.claims).map((kind) => [kind, (item) => item.kind === kind])),
  marked: isWrong,
};
if (Object.keys(about.claims).length === 1) delete FILTERS[Object.keys(about.claims)[0]];

function choose(name) {
  const found = items.map((_, i) => i).filter((i) => FILTERS[name](items[i]));
  if (!found.length) return;
  const now = view[here];
  filter = name;
  view = found;
  strip();
  const open = view.findIndex((i) => !isJudged(items[i]));
  go(view.includes(now) ? view.indexOf(now) : Math.max(0, open));
}

const pictures = new Map();          // kept, so that a redrawn page does not flicker
function picture(item, role) {
  const name = `${role} ${item.crops[role]}`;
  if (!pictures.has(name)) {
    pictures.set(name, element("img", { src: photo(item.crops[role]), alt: `${ROLES[role].role} photo` }));
  }
  return pictures.get(name);
}

function strip() {
  $("strip").replaceChildren(...view.map((i, place) => element(
    "button", { className: "mini", onclick: () => go(place), title: items[i].kind },
    element("span", { textContent: i + 1 }),
    ...items[i].crops.map((crop) => element("img", { src: photo(crop), alt: "", loading: "lazy" })),
  )));
}

function caption(item, role) {
  const own = about.crops[item.crops[role]], query = about.crops[item.crops[0]];
  const word = (name) => element("span", {
    textContent: own[name] || `no ${name}`, className: role && own[name] && own[name] === query[name] ? "same" : "",
  });
  const product = element("div", { className: "product" });
  product.append(word("product_id"));
  return [element("div", {}, word("category"), " · ", word("colour"), ` · ${own.side}`), product];
}

function figure(item, role) {
  const words = said(item, role), first = ROLES[role].marks[0][0];
  const claim = role ? about.claims[item.kind][role - 1] : "compare the other two with this";
  return element("figure", { id: ROLES[role].role },
    element("div", { className: "role" },
      element("b", { textContent: ROLES[role].role }), element("i", { textContent: claim })),
    element("button", {
      id: `photo-${role}`, className: words.length ? "photo wrong" : "photo", title: about.crops[item.crops[role]].photo_id, ariaPressed: String(!!words.length),
      onclick: (event) => toggle(role, event.shiftKey ? "photo" : first),
    }, picture(item, role), element("span", {}, ...(words.length ? [element("b", { textContent: words.join(", ") })] : []))),
    element("figcaption", {}, ...caption(item, role)),
    element("div", { className: "marks" }, ...ROLES[role].marks.map(([what, word], place) => element("button", {
      id: `mark-${role}-${what}`, ariaPressed: String(isMarked(item, role, what)), onclick: () => toggle(role, what),
    }, element("kbd", { textContent: (place ? "⇧" : "") + (role + 1) }), ` ${word}`))));
}

function draw() {
  const item = items[view[here]], wrong = items.filter(isWrong).length, seen = items.filter(isJudged).length;
  const focus = document.activeElement?.id;
  $("split").textContent = `${items.length} of ${about.total} · ${about.split}`;
  $("counted").replaceChildren(element("b", { textContent: seen }), ` of ${items.length} judged · `,
    element("b", { textContent: wrong, className: wrong ? "wrong" : "" }), " marked");
  Object.assign($("done"), { value: seen, max: items.length });
  $("kinds").replaceChildren(...Object.entries(FILTERS).map(([name, has]) => element("button", {
    id: `only-${name}`, textContent: `${name} ${items.filter(has).length}`, ariaPressed: String(name === filter),
    disabled: !items.some(has), onclick: () => choose(name),
  })));
  $("at").textContent = `${view[here] + 1} / ${items.length}`;
  $("kind").textContent = item.kind;
  $("three").replaceChildren(...[0, 1, 2].map((role) => figure(item, role)));
  if (focus) $(focus)?.focus();
  items.slice(view[here], view[here] + 4).forEach((near) => [0, 1, 2].forEach((role) => picture(near, role)));
  $("verdict").textContent = isWrong(item) ? "marked" : "fine";
  $("fine").className = isWrong(item) ? "wrong" : "";
  $("undo").disabled = !done.length;
  [...$("strip").children].forEach((mini, place) => {
    const one = items[view[place]], bad = isWrong(one);
    mini.className = ["mini", bad && "wrong", isJudged(one) && "judged", place === here && "here"].filter(Boolean).join(" ");
    mini.firstChild.dataset.sign = bad ? "✗ " : isJudged(one) ? "✓ " : "";
    [...mini.querySelectorAll("img")].forEach((img, role) => img.classList.toggle("wrong", said(one, role).length > 0));
  });
  $("strip").children[here].scrollIntoView({ block: "nearest" });
  $("todo").replaceChildren(
    seen === items.length ? "All are judged. " : "",
    marked.size ? `${marked.size} row${marked.size > 1 ? "s" : ""} in ` : "Nothing is marked yet in ",
    element("code", { textContent: about.file }),
    marked.size ? "; next: " : "; marks are kept there, and ", element("code", { textContent: "dvc repro" }),
    " draws the triplets anew, without what is listed.");
}

const KEYS = {
  ArrowRight: () => go(here + 1), ArrowDown: () => go(here + 1), j: () => go(here + 1),
  ArrowLeft: () => go(here - 1), ArrowUp: () => go(here - 1), k: () => go(here - 1),
  Home: () => go(0), End: () => go(view.length - 1), " ": fine, Enter: fine, u: undo,
  f: () => {
    const names = Object.keys(FILTERS).filter((name) => items.some(FILTERS[name]));
    choose(names[(names.indexOf(filter) + 1) % names.length]);
  },
};

keys((event) => {
  const digit = /^(?:Digit|Numpad)([123])$/.exec(event.code);   // by place: shift changes what the key writes
  const act = digit ? () => toggle(digit[1] - 1, event.shiftKey ? "photo" : ROLES[digit[1] - 1].marks[0][0])
    : KEYS[event.key];
  const pressed = [" ", "Enter"].includes(event.key) && document.activeElement.matches("button:focus-visible");
  return pressed ? null : act;
});
// A click leaves no focus behind, so that space goes on meaning "fine, next".
document.addEventListener("click", (event) => event.detail && document.activeElement.blur());

// Another tab, or an edit of the file by hand: look again when there may be news.
const refresh = () => { judged = remembered() ?? judged; return request(); };
window.addEventListener("focus", refresh);
news.addEventListener("message", refresh);

Object.assign($("back"), { onclick: () => go(here - 1) });
Object.assign($("next"), { onclick: () => go(here + 1) });
Object.assign($("fine"), { onclick: fine });
Object.assign($("undo"), { onclick: undo });
strip();
await refresh();
const open = items.findIndex((item) => !isJudged(item));
go(open < 0 ? 0 : open);
