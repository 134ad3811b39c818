// The page: one state, read from the address; one function that shows it; and what a person may do.

import * as answers from "./answers.js";
import { PAGE, read, way, write } from "./address.js";
import { Problem, catalog, looksOf } from "./api.js";
import { fill } from "./elements.js";
import { facets, waiting } from "./facets.js";
import * as events from "./events.js";
import * as filters from "./filter.js";
import * as intake from "./intake.js";
import { notice } from "./notice.js";
import * as photo from "./photo.js";
import * as results from "./results.js";
import { forget } from "./trace.js";
import { trail } from "./trail.js";
import { absent, likeness, products, titled } from "./words.js";

const part = (id) => document.getElementById(id);
const previews = new Map(); // query_id -> the photo as it was given, so that the server's copy need not be waited for
const SCROLL_KEPT_MS = 150;

// phase: "ready" (the answer is the state's), "waiting" (for another thing), "busy" (with the same thing), "failed".
const now = {
  state: read(new URL(location.href)),
  next: null, // the state that the same thing will have once its answer is there
  phase: "waiting",
  answer: null,
  preview: null,
  problem: null,
  retry: null,
  drawing: false,
  tells: false, // whether a model of categories is served
};
let running = new AbortController();
let arrived = false; // once something was shown: the first time, the focus stays where the browser has it

/** Show `now`: the only function that changes what is seen. */
function render() {
  const { phase, answer, preview } = now;
  const state = now.next ?? now.state;
  const focused = document.activeElement?.dataset.key;
  const ready = answer && !preview && (phase === "ready" || phase === "busy");
  const failed = phase === "failed" && !ready;
  const start = !preview && (state.kind === "start" || failed);
  part("start").hidden = !start;
  part("found").hidden = start;
  for (const id of ["again", "skip"]) part(id).hidden = start;
  part("details").setAttribute("aria-checked", String(state.details));
  part("notice").replaceChildren(...(now.problem ? [trouble()] : []));
  fill(part("trail"), preview ? [] : trail(way(state), state));
  fill(part("asked"), preview ? photo.sent(preview) : ready ? asked() : photo.waiting(state.kind));
  fill(part("facets"), ready ? facets(answer.facets, state, { narrow }) : failed ? [] : waiting());
  const title = answers.known(state.id)?.title;
  const heading = preview ? "Searching with your photo" : title ? `Products like ${title}` : "Searching";
  const options = { busy: phase === "busy", more, again: render };
  fill(
    part("answers"),
    ready ? results.results(answer, state, options) : failed ? results.failed() : results.waiting(heading),
  );
  document.title = start ? "Search by photo" : part("answers").querySelector("h1").textContent;
  if (focused && document.activeElement?.dataset.key !== focused) {
    document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

function asked() {
  const { state, answer, drawing } = now;
  if (state.kind === "product") return photo.product(answer.asked.product, state.details);
  const looks = state.details && now.tells && looksOf(state.id);
  return photo.searched(answer.asked, { ...previews.get(state.id), drawing, looks }, { pick, draw, say });
}

function trouble() {
  const acts = { "Try again": now.retry, "Another photo": () => intake.open("files") };
  const held = now.answer || now.state.kind === "start"; // there is something to go back to
  if (held || now.preview) acts.Dismiss = () => dismiss(held);
  return notice(now.problem, now.state.details, acts);
}

function dismiss(held) {
  Object.assign(now, { problem: null, retry: null, preview: null });
  if (held && now.phase === "failed") now.phase = "ready";
  if (!held) go(now.state, "stay"); // a photo came while it was asked for
  render();
}

/** Say something to those who do not see the page. */
function say(text) {
  part("status").textContent = text;
}

/** Begin something that ends what was running; its problem is shown, and `again` repeats it. */
async function attempt(again, work) {
  running.abort();
  const mine = (running = new AbortController());
  Object.assign(now, { next: null, problem: null, retry: null });
  try {
    await work(mine.signal);
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return;
    const problem =
      error instanceof Problem ? error : new Problem(500, "Something went wrong", "Please load the page anew.");
    Object.assign(now, {
      next: null,
      problem,
      retry: problem.passes ? again : null,
      phase: now.phase === "busy" ? "ready" : "failed",
    });
    render();
    if (problem !== error) throw error; // a fault of this page: the console has it
  }
}

/** Go to a state, scrolled to `y`. `how`: "push" and "replace" write its address, "stay" has it already. */
function go(state, how = "push", y = null) {
  const { kind, id } = now.state;
  const same = now.answer && !now.preview && state.kind === kind && state.id === id;
  if (!same) {
    if (how === "push") push(state);
    Object.assign(now, { state, phase: "waiting", answer: null, drawing: false });
  } else now.phase = "busy";
  now.preview = null;
  const again = () => go(state, same ? how : "stay", y);
  return attempt(again, async (signal) => {
    if (state.kind === "start") return arrive(state, null, true);
    if (same) now.next = state; // what is chosen meanwhile is chosen beside it
    say("Searching");
    const found = answers.load(state, signal);
    if (
      await Promise.race([
        found.then(
          () => false,
          () => false,
        ),
        soon(),
      ])
    ) {
      // no flicker for what is kept
      render();
      if (!same) window.scrollTo(0, 0);
    }
    const answer = await found;
    if (signal.aborted) return;
    if (same && how === "push") push(state);
    if (how === "replace") history.replaceState(history.state, "", write(state));
    arrive(state, answer, !same, y);
  });
}

/** Write a new address; the one before keeps where it was scrolled to. */
function push(state) {
  keepScroll();
  history.pushState({}, "", write(state));
}

const keepScroll = () => history.replaceState({ ...history.state, y: scrollY }, "");

const soon = () => new Promise((resolve) => setTimeout(() => resolve(true)));

function arrive(state, answer, fresh, y = null) {
  Object.assign(now, { state, answer, next: null, phase: "ready" });
  render();
  if (fresh || y !== null) window.scrollTo(0, y ?? 0);
  if (fresh && arrived)
    document.querySelector(state.kind === "start" ? "#start-title" : "#answers h1").focus({ preventScroll: true });
  arrived = true;
  if (answer) say(summary(answer));
  answers.learn(way(state)).then((more) => more && now.state === state && render());
}

function summary({ results: [first], total, inCatalog }) {
  if (!first) return "Nothing found";
  const row = likeness(first.probability, inCatalog);
  const lacks = absent(inCatalog, !filters.empty(now.state.filter));
  const most = `The most alike: ${titled(first)}${row ? `, ${row.words.toLowerCase()}` : ""}`;
  return [`${products(total)}.`, lacks, most].filter(Boolean).join(" ");
}

/** Search with photos that were given. */
function take(files) {
  return attempt(
    () => take(files),
    async (signal) => {
      const preview = await intake.preview(files);
      if (signal.aborted) return;
      Object.assign(now, { preview, phase: "waiting", drawing: false });
      render();
      window.scrollTo(0, 0);
      say("Searching with your photo");
      const sent = await Promise.all(files.map(intake.light));
      const id = await answers.search({ files: sent }, signal);
      if (now.preview.url) previews.set(id, now.preview);
      const { details } = now.state;
      go({ kind: "query", id, filter: filters.NONE, offset: 0, details, trail: [] });
    },
  );
}

/** Search with the photo of an address. */
function follow(url) {
  return attempt(
    () => follow(url),
    async (signal) => {
      say("Searching with the photo of this address");
      const id = await answers.search({ url }, signal);
      go({ kind: "query", id, filter: filters.NONE, offset: 0, details: now.state.details, trail: [] });
    },
  );
}

/** Search with another box of the same photo. */
function pick(box) {
  const { state } = now;
  now.phase = "busy";
  now.drawing = false;
  return attempt(
    () => pick(box),
    async (signal) => {
      render();
      say("Searching for this area");
      const id = await answers.search({ query: state.id, box }, signal);
      if (previews.has(state.id)) previews.set(id, previews.get(state.id));
      go({ ...state, id, filter: filters.NONE, offset: 0 });
    },
  );
}

/** Bound a number of the products; null is no bound. */
function narrow(column, min, max) {
  const state = now.next ?? now.state;
  go({ ...state, filter: filters.ranged(state.filter, column, min, max), offset: 0 });
}

function draw(on) {
  now.drawing = on;
  render();
  document.querySelector(`[data-key="${on ? "area" : "draw"}"]`)?.focus();
}

async function more() {
  const { length } = now.answer.results;
  await go({ ...now.state, offset: Math.floor(length / PAGE) * PAGE }, "replace");
  document.querySelectorAll("#answers .grid a.more")[length]?.focus({ preventScroll: true });
}

function begin() {
  history.scrollRestoration = "manual";
  events.listen();
  intake.listen(take, (problem) => {
    Object.assign(now, { problem, retry: null });
    render();
  });
  part("details").addEventListener("click", () => {
    now.state = { ...now.state, details: !now.state.details };
    forget(); // a trace is of now
    history.replaceState(history.state, "", write(now.state));
    render();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-route]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const state = read(new URL(link.href));
    go(link.className === "name" ? { ...state, details: now.state.details } : state);
  });
  addEventListener("popstate", ({ state }) => go(read(new URL(location.href)), "stay", state?.y ?? 0));
  let later;
  addEventListener("scroll", () => {
    clearTimeout(later);
    later = setTimeout(keepScroll, SCROLL_KEPT_MS);
  });
  addEventListener("online", () => now.problem?.status === 0 && now.retry?.());
  catalog().then(
    ({ products: number, categories, taxonomy, url_photos: linked }) => {
      if (linked) intake.offer(part("link"), follow);
      if (taxonomy) {
        now.tells = true;
        render();
      }
      part("stock").textContent =
        `Searches ${products(number)} in ${categories.length} ${categories.length === 1 ? "category" : "categories"}.`;
    },
    () => {},
  );
  go(now.state, "stay", history.state?.y ?? 0);
}

begin();
