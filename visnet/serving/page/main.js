// The page: one state, read from the address; one function that shows it; and what a person may do.

import * as answers from "./answers.js";
import { PAGE, read, way, write } from "./address.js";
import { Problem, looksOf } from "./api.js";
import { fill } from "./elements.js";
import * as events from "./events.js";
import * as facets from "./facets.js";
import * as filters from "./filter.js";
import { greet } from "./greeting.js";
import * as intake from "./intake.js";
import * as links from "./links.js";
import { notice } from "./notice.js";
import * as photo from "./photo.js";
import * as results from "./results.js";
import { say, summary } from "./saying.js";
import * as scrolling from "./scrolling.js";
import { forget } from "./trace.js";
import { trail } from "./trail.js";

const part = (id) => document.getElementById(id);
const previews = new Map(); // query_id -> the photo as it was given, so that the server's copy need not be waited for
const PATIENCE_MS = 150; // before what was shown makes way for what is asked for: mostly it is there sooner

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
  const known = answers.known(state.id);
  const start = !preview && (state.kind === "start" || (failed && !now.retry));
  part("start").hidden = !start;
  part("found").hidden = start;
  for (const id of ["again", "skip"]) part(id).hidden = start;
  part("details").setAttribute("aria-checked", String(state.details));
  part("notice").replaceChildren(...(now.problem ? [trouble()] : []));
  trail(part("trail"), preview ? [] : way(state), state);
  fill(part("asked"), preview ? photo.sent(preview) : ready ? asked() : pending(state, known, failed));
  facets.put(part("facets"), ready ? facets.facets(answer.facets, state, { narrow }) : failed ? [] : facets.waiting());
  const looks = ready && state.kind === "query" && state.details && now.tells && looksOf(state.id);
  const options = { busy: phase === "busy", looks, more, again: render };
  fill(
    part("answers"),
    ready
      ? results.results(answer, state, options)
      : failed
        ? results.failed(preview, now.retry)
        : results.waiting(preview, known?.title),
  );
  document.title = start ? "Search by photo" : part("answers").querySelector("h1").textContent;
  if (focused && document.activeElement?.dataset.key !== focused) {
    document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

function asked() {
  const { state, answer, drawing } = now;
  if (state.kind === "product") return photo.product(answer.asked.product, state.details);
  return photo.searched(answer.asked, { ...previews.get(state.id), drawing }, { pick, draw, say });
}

/** Show what is known of what is asked for until more is; nothing where it failed and nothing is known. */
function pending({ kind, id }, known, failed) {
  if (previews.has(id)) return photo.sent(previews.get(id));
  return failed && !known?.photo ? [] : photo.waiting(kind, known);
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

/** Begin something that ends what was running; its problem is shown, and `again` repeats it. */
async function attempt(again, work) {
  running.abort();
  const mine = (running = new AbortController());
  Object.assign(now, { next: null, problem: null, retry: null });
  try {
    await work(mine.signal);
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return;
    const problem = error instanceof Problem ? error : new Problem(500, "Something went wrong", "Load the page anew.");
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
    if (how === "push") scrolling.push(state);
    Object.assign(now, { state, phase: "waiting", answer: null, drawing: false });
    facets.fold(part("facets"));
  } else now.phase = "busy";
  now.preview = null;
  return attempt(() => go(state, same ? how : "stay", y), async (signal) => {
    if (state.kind === "start") return arrive(state, null, true);
    if (same) now.next = state; // what is chosen meanwhile is chosen beside it
    say("Searching");
    const found = answers.load(state, signal);
    const here = () => false;
    if (await Promise.race([found.then(here, here), soon(same ? 0 : PATIENCE_MS)])) {
      render();
      if (!same) window.scrollTo(0, 0);
    }
    const answer = await found;
    if (signal.aborted) return;
    if (same && how === "push") scrolling.push(state);
    if (how === "replace") history.replaceState(history.state, "", write(state));
    arrive(state, answer, !same, y);
  });
}

const soon = (time) => new Promise((resolve) => setTimeout(() => resolve(true), time));

function arrive(state, answer, fresh, y = null) {
  Object.assign(now, { state, answer, next: null, phase: "ready" });
  render();
  if (fresh || y !== null) window.scrollTo(0, y ?? 0);
  if (fresh) part("found").querySelector(".side").scrollTop = 0;
  if (fresh && arrived)
    document.querySelector(state.kind === "start" ? "#start-title" : "#answers h1").focus({ preventScroll: true });
  arrived = true;
  if (answer) say(summary(answer, !filters.empty(state.filter)));
  answers.learn(way(state)).then((more) => more && now.state === state && render());
}

/** Search with photos that were given. */
function take(files) {
  return attempt(() => take(files), async (signal) => {
    const preview = await intake.preview(files);
    if (signal.aborted) return;
    Object.assign(now, { preview, phase: "waiting", drawing: false });
    render();
    window.scrollTo(0, 0);
    say("Searching with your photo");
    const sent = await Promise.all(files.map(intake.light));
    const id = await answers.search({ files: sent }, signal);
    if (now.preview.url) previews.set(id, now.preview);
    answered(id);
  });
}

/** Search with the photo of an address. */
function follow(url) {
  return attempt(() => follow(url), async (signal) => {
    say("Searching with the photo of this address");
    answered(await answers.search({ url }, signal));
  });
}

/** Go to the answers of a photo that is new. */
function answered(id) {
  go({ kind: "query", id, filter: filters.NONE, offset: 0, details: now.state.details, trail: [] });
}

/** Search with another box of the same photo. */
function pick(box) {
  const { state } = now;
  now.phase = "busy";
  now.drawing = false;
  return attempt(() => pick(box), async (signal) => {
    render();
    say("Searching for this area");
    const id = await answers.search({ query: state.id, box }, signal);
    if (previews.has(state.id)) previews.set(id, previews.get(state.id));
    go({ ...state, id, filter: filters.NONE, offset: 0 });
  });
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
  part("details").hidden = false;
  for (const one of [scrolling, events]) one.listen();
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
  links.listen(({ href, className }) => {
    const state = read(new URL(href));
    go(className === "name" ? { ...state, details: now.state.details } : state);
  });
  addEventListener("popstate", ({ state }) => go(read(new URL(location.href)), "stay", state?.y ?? 0));
  addEventListener("online", () => now.problem?.status === 0 && now.retry?.());
  greet(part("stock")).then(({ linked, tells }) => {
    if (linked) intake.offer(part("link"), follow);
    if ((now.tells = tells)) render();
  });
  go(now.state, "stay", scrolling.kept());
}

begin();
