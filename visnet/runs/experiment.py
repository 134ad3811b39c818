"""An experiment: the second half of the line, from training to evaluation, for one zoo entry in a folder of its own.

It reads the line's crops and triplets, so that experiments differ in nothing but what they try; each is one MLflow run.
"""

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from visnet import zoo
from visnet.pipeline import stage as stages
from visnet.pipeline.launch import Launch
from visnet.pipeline.reports import DATA, REPORTS, Place, read_report
from visnet.pipeline.stage import Report
from visnet.runs import runner
from visnet.stages import trained_model
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.tracking import registry

APART = ("trained_model", "catalog_embeddings", "knn_results", "evaluation")
FOLDER = "experiments"
DONE = "done.json"
SHOWN = ("recall_at_1", "recall_at_5", "triplet_accuracy", "colour_agreement")
UNDER_WAY = "VISNET_EXPERIMENT"  # tells the helping processes of a training on several devices which one it is

Tables = Mapping[str, Mapping[str, Any]]


def place(name: str) -> Place:
    """Return where an experiment's artefacts and reports are."""
    return Place(DATA / FOLDER / name, REPORTS / FOLDER / name, APART)


def run(
    names: Sequence[str], versions: Sequence[int] = (), settings: Sequence[str] = (), *, again: bool = False
) -> list[Report]:
    """Run the experiments of some zoo entries, and evaluate some registered versions; return one report for each.

    settings: "stage.key=value" each, laid over params.toml. A stage that ran before with equal inputs is not run again,
    but for `again`; a training that was stopped goes on. All names and settings are checked before anything runs, and
    an experiment that fails does not keep the others from running. `ValueError` says what is wrong.
    """
    if (launch := Launch.found()) and launch.ranks > 1:
        raise ValueError(f"an experiment is run by one process, and torchrun has started {launch.ranks}")
    wanted = _wanted(names, versions, _set(runner.read_params(), settings))
    if runner.helps():
        name = os.environ[UNDER_WAY]
        return [runner.run("trained_model", place(name), wanted[name])]
    made, failed = [], {}
    for number, (name, tried) in enumerate(wanted.items(), 1):
        print(f"{name} ({number} of {len(wanted)})", file=sys.stderr, flush=True)
        os.environ[UNDER_WAY] = name
        try:
            made.append(_run(name, tried, again=again))
        except ValueError as error:
            if len(wanted) == 1:
                raise
            failed[name] = str(error)
            print(f"  failed: {error}", file=sys.stderr, flush=True)
    if failed:
        whys = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ValueError(f"{len(failed)} of {len(wanted)} failed: {whys}")
    return made


def _wanted(names: Sequence[str], versions: Sequence[int], whole: Tables) -> dict[str, Tables]:
    """Return experiment -> the parameters of all stages, every one of them checked."""
    chosen: dict[str, dict[str, Any]] = {}
    for name in names:
        called = zoo.entry(name).name
        if Path(called).name != called:
            raise ValueError(f"{name}: name = {called!r} cannot be a folder's; allowed is a name without '/'")
        if chosen.get(called, {}).get("config", name) != name:
            raise ValueError(f"{name} and {chosen[called]['config']} are both called {called!r}; run one at a time")
        chosen[called] = {"config": name, "version": 0}
    for version in versions:
        registry.find(version)
        chosen[f"version-{version}"] = {"version": version}
    if not chosen:
        raise ValueError(f"name one zoo entry at least; there are {', '.join(zoo.names())}")
    wanted: dict[str, Tables] = {}
    for called, own in chosen.items():
        wanted[called] = {**whole, "trained_model": {**whole.get("trained_model", {}), **own}}
        parsed = {stage: stages.parse(stage, wanted[called].get(stage, {}), str(runner.PARAMS)) for stage in APART}
        params = parsed["trained_model"]
        assert isinstance(params, trained_model.Params)
        if not params.version:
            trained_model.changed(zoo.entry(params.config), params)
    return wanted


def _run(name: str, tried: Tables, *, again: bool) -> Report:
    here, inputs = place(name), _inputs(tried)
    file = here.reports / DONE
    if again:
        for path in here.data.glob("*.building"):  # what was made before stays until its successor is whole
            shutil.rmtree(path)
        for stage in APART[1:]:
            shutil.rmtree(here.artefact(stage), ignore_errors=True)
        file.unlink(missing_ok=True)
    done = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    here.reports.mkdir(parents=True, exist_ok=True)
    for at, stage in enumerate(APART):
        if done.get(stage) == inputs[stage] and here.artefact(stage).exists():
            if stage == APART[-1]:
                print("  done before with the same inputs (--again does it anew)", file=sys.stderr)
            continue
        done = {earlier: inputs[earlier] for earlier in APART[:at]}  # what was made of an older one is made anew, too
        atomic.put_json(file, done)
        runner.run(stage, here, tried)
        done[stage] = inputs[stage]
        atomic.put_json(file, done)
    trained, evaluated = (read_report(stage, here.reports) or {} for stage in ("trained_model", "evaluation"))
    shown = {key: evaluated[key] for key in SHOWN if evaluated.get(key) is not None}
    print("  " + ", ".join(f"{key} {value:.3f}" for key, value in shown.items()), file=sys.stderr)
    return {"name": name, "mlflow_run_id": trained.get("mlflow_run_id"), **evaluated}


def _inputs(tried: Tables) -> dict[str, str]:
    """Return stage -> a fingerprint of what decides its outcome: the entry, the line's data, and parameters so far."""
    parts = []
    for stage in ("crops", "triplets"):
        digest = (read_report(stage) or {}).get("digest")
        if digest is None:
            raise ValueError(f"{REPORTS / stage}.json is missing; run `dvc repro triplets` first")
        parts.append(str(digest))
    chosen = tried["trained_model"]
    parts.append("" if chosen["version"] else zoo.entry(chosen["config"]).toml())
    inputs = {}
    for stage in APART:
        parts.append(stages.parse(stage, tried.get(stage, {}), str(runner.PARAMS)).model_dump_json())
        inputs[stage] = fingerprint(*parts)
    return inputs


def _set(whole: Tables, settings: Sequence[str]) -> Tables:
    for setting in settings:
        name, _, value = setting.partition("=")
        stage, _, key = name.partition(".")
        if stage not in APART or not key or not value:
            line = stage in stages.STAGES and stage not in APART
            raise ValueError(
                f"-S {setting!r}: allowed is stage.key=value with a stage of {', '.join(APART)}"
                + (f"; {stage} is the line's: set it in params.toml" if line else "")
            )
        if (stage, key) in {("trained_model", "config"), ("trained_model", "version")}:
            raise ValueError(f"-S {setting!r}: an experiment is one of a NAME, or of a --version; give it as that")
        try:
            read = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            read = value  # a word needs no quotes here
        whole = {**whole, stage: {**whole.get(stage, {}), key: read}}
    return whole


def serve(version: int, path: Path = runner.PARAMS) -> None:
    """Write a registered version into params.toml, of which nothing else changes: the next `dvc repro` serves it."""
    text = path.read_bytes().decode()  # with the line ends that it has
    document = tomlkit.parse(text if text.endswith("\n") else f"{text}\n")
    table: Any = document.setdefault("trained_model", tomlkit.table())
    if (was := table.get("version")) is None and isinstance(table, tomlkit.items.Table):
        # First: at the end it would part a comment from the table that it stands above.
        table.value.body.insert(0, (tomlkit.key("version"), tomlkit.item(version)))
    else:
        table["version"] = version
    if was is not None and (trivia := table["version"].trivia).comment:
        wider = len(str(version)) - len(was.as_string())
        trivia.comment_ws = " " * max(1, len(trivia.comment_ws) - wider)  # comments stay below each other
    atomic.put_text(path, tomlkit.dumps(document))
