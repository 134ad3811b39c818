// Where a product's answers are from, for who looks after the catalog: from its record to what the service says now.

import * as api from "./api.js";
import { h } from "./elements.js";
import { count, time } from "./words.js";

const HASH = 12; // characters of a hash that are shown
const PHOTOS = 4; // that are listed
const CHANGES = 3; // that are listed
const NOW = {
  answers: "answers",
  withdrawn: "was withdrawn, and answers nothing",
  absent: "has no photo that could answer",
};
const found = new Map(); // "version product" -> the answer, or the problem that came instead

/** Forget what was read, so that it is asked for again. */
export const forget = () => found.clear();

/** Show the trace of a product; `again` is called once it has come, where it was not there yet. */
export function trace(id, version, again) {
  const key = `${version} ${id}`;
  if (!found.has(key)) {
    found.set(key, null);
    api.trace(id).then(
      (answer) => came(key, { answer }, again),
      (problem) => came(key, { problem }, again),
    );
  }
  const { answer, problem } = found.get(key) ?? {};
  const title = h("h2", { id: "trace-title" }, "From record to answer");
  const inside = answer
    ? h("ol", {}, steps(answer).map(step))
    : h("p.soft", {}, problem ? `The trace could not be read: ${problem.message}` : "One moment …");
  return h("section.trace", { "aria-labelledby": "trace-title", "aria-busy": String(!answer && !problem) }, title, inside);
}

function came(key, what, again) {
  found.set(key, what);
  again();
}

function step([name, ...lines]) {
  const shown = lines.flat().filter(Boolean);
  return h("li", {}, h("h3", {}, name), h("div", {}, shown.map((line) => h("p", {}, line))));
}

function steps({ record, photos, version, changes, now }) {
  return [
    ["Record", ...recordLines(record)],
    ["Photos", ...photoLines(photos)],
    ["Dagster run", run(version.dagster_run, version.dagster_url) ?? "none: published in a shell"],
    ["MLflow run", run(version.mlflow_run, version.mlflow_url) ?? "not known", `model ${version.model} in ${version.precision}`],
    ["DVC data", ...dataLines(version)],
    ["Catalog version", `${version.catalog_version}, published ${time(version.published)}`],
    ["Changes since", ...changeLines(changes)],
    ["Now", `${NOW[now.state]}${now.state === "answers" ? ` with ${photosOf(now.photos)}` : ""}${now.changed ? ", otherwise than the version has it" : ""}`],
  ];
}

const photosOf = (number) => `${count(number)} ${number === 1 ? "photo" : "photos"}`;

const run = (id, url) => id && (url ? h("a", { href: url, rel: "noreferrer" }, id) : id);

function recordLines(record) {
  if (!record) return ["of a source that is no feed"];
  const { op, seq, updated_at: when, batch, lost } = record;
  const said = [op, seq !== null && `seq ${seq}`, when && `of ${time(when)}`].filter(Boolean).join(", ");
  return [said, batch ? `batch ${batch}` : lost];
}

function photoLines(photos) {
  if (!photos.length) return ["none in this version"];
  const lines = photos.slice(0, PHOTOS).map(({ crop, vector }) => `crop ${crop}, vector ${vector}`);
  return [...lines, photos.length > PHOTOS && `and ${count(photos.length - PHOTOS)} more`];
}

function dataLines({ checked_out: checkedOut, data }) {
  if (!checkedOut) return ["what is served is not what is checked out"];
  const lines = Object.entries(data).map(([path, hash]) => `${path} ${hash.slice(0, HASH)}`);
  return lines.length ? lines : ["no dvc.lock says more"];
}

function changeLines(changes) {
  if (!changes.length) return ["none, by the service"];
  const lines = changes.slice(0, CHANGES).map((one) => {
    const taken = one.catalog_version !== null && `taken in by version ${one.catalog_version}`;
    return [`${one.op}, batch ${one.batch} line ${one.line}`, `accepted ${time(one.accepted)}`, one.state, taken]
      .filter(Boolean)
      .join(", ");
  });
  return [...lines, changes.length > CHANGES && `and ${count(changes.length - CHANGES)} more`];
}
