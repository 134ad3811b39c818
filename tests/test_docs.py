"""The documentation: it builds without a warning, says all that the code has, and names nothing that is not there."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import typer
import yaml
from fastapi.routing import APIRoute
from PIL import Image
from starlette.routing import BaseRoute

from tests.test_structure import ROOT
from visnet.commands.app import PANELS, app
from visnet.commands.keys import keys
from visnet.pipeline import stage as stages
from visnet.runs import runner
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings

DOCS = ROOT / "docs"
GENERATED = DOCS / "reference" / "generated"
WRITTEN = [ROOT / "README.md", *(path for path in sorted(DOCS.rglob("*.md")) if GENERATED not in path.parents)]
FENCED = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
TARGETS = set(re.findall(r"(?m)^([\w./]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8")))
FOLDERS = ("benchmarks", "docker", "docs", "examples", "kernels", "orchestration", "tests", "visnet")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once; a warning is a failure."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(out / "trees")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(DOCS), str(out / "html")], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


def page(name: str) -> str:
    return (GENERATED / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, title: str, marks: str = "##") -> str:
    """Return what stands below a heading, up to the next of its level."""
    found = re.search(rf"(?ms)^{marks} {re.escape(title)}\n(.*?)(?=^{marks} |\Z)", text)
    assert found, f"there is no heading {title!r}"
    return found[1]


def test_the_site_has_every_page_and_pictures(site: Path) -> None:
    pages = [path.relative_to(DOCS).with_suffix(".html") for path in WRITTEN if path.is_relative_to(DOCS)]
    assert len(pages) > 10
    assert [name for name in pages if not (site / name).is_file()] == []
    assert (site / "_images" / "search.png").is_file()


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    broken = []
    for file in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"#?]+)', file.read_text(encoding="utf-8")):
            if not re.match(r"\w+:", target) and not (file.parent / target).exists():
                broken.append(f"{file.relative_to(site)}: {target}")
    assert broken == []


@pytest.mark.parametrize("stage", stages.STAGES)
def test_every_parameter_is_told(stage: str, site: Path) -> None:
    """By the schema that pydantic makes of a stage's parameters."""
    schema = stages.module(stage).Params.model_json_schema()
    told, whole = section(page("parameters"), stage), page("parameters")
    for name, one in schema.get("properties", {}).items():
        inner = "$ref" in one or any("$ref" in part for part in one.get("allOf", ()))
        assert (f"### `[{stage}.{name}]`" if inner else f"| `{name}` |") in told
    for table in schema.get("$defs", {}).values():
        assert [
            name for name in table.get("properties", {}) if f"`{name}`" not in whole and f".{name}]" not in whole
        ] == []


def functions() -> Iterator[tuple[str, Any]]:
    for group in PANELS.values():
        yield from ((function.__name__.replace("_", "-"), function) for function in group)
    for command in keys.registered_commands:
        yield f"keys {command.name or command.callback.__name__}", command.callback


@pytest.mark.parametrize(("name", "function"), list(functions()), ids=[name for name, _ in functions()])
def test_every_command_and_option_is_told(name: str, function: Any, site: Path) -> None:
    """By the signatures of the functions that are commands."""
    told = section(page("commands"), name, "###")
    assert f"python -m visnet {name}" in told
    for parameter in inspect.signature(function).parameters.values():
        declared = next(part for part in get_args(parameter.annotation) if hasattr(part, "param_decls"))
        names = [
            *(declared.param_decls or ()),
            declared.default,
            f"--{parameter.name.replace('_', '-')}",
            declared.metavar or "-",
        ]
        assert any(f"`{one}`" in told.replace("\\|", "|") for one in names), parameter.name


def test_every_route_is_told(site: Path) -> None:
    told, routes = page("api"), list(_flat(application(Settings()).routes))
    named = {f"{method} {route.path}" for route in routes if route.include_in_schema for method in route.methods}
    assert len(named) > 15
    shown = {re.sub(r":path}", "}", name) for name in named if not name.startswith("HEAD ")}
    assert shown == set(re.findall(r"(?m)^### `([A-Z]+ /\S+)`$", told))


def _flat(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _flat(getattr(getattr(route, "original_router", None), "routes", []))


def test_every_zoo_entry_is_told(site: Path) -> None:
    names = sorted(path.stem for path in (ROOT / "visnet/zoo").glob("*.toml"))
    assert names == re.findall(r"(?m)^## (\w+)$", page("zoo"))


@pytest.mark.parametrize("stage", stages.STAGES)
def test_every_stage_is_told(stage: str, site: Path) -> None:
    module = stages.module(stage)
    told = section(page("reports"), stage)
    for key in (*getattr(module, "METRICS", ()), *getattr(module, "TRACKED", ()), "digest"):
        assert f"`{key}`" in told
    line = (DOCS / "concepts/line.md").read_text(encoding="utf-8")
    assert f"| `{stage}` |" in line
    gates = (
        yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
        .get("meta", {})
        .get("gates", {})
    )
    assert [gate for gate in gates if f"| `{gate}` |" not in told] == []


def test_the_reports_of_a_run_have_no_other_keys(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for product in range(6):
        for photo in range(2):
            path = tmp_path / "photos" / "hats" / str(product) / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(path)
    (tmp_path / "photos/hats/0/broken.png").write_bytes(b"no photo")
    monkeypatch.chdir(tmp_path)
    own = {"source": "folder", "metadata": "photos", "folder": {"products": "folder"}}
    for stage in ("raw_images", "crops"):
        keys = runner.run(stage, tables={"raw_images": own, "crops": {}})
        told = re.search(r"(?m)^Keys: (.*)\.$", section(page("reports"), stage))
        assert told
        known = [re.sub("[A-Z]+", ".+", name) for name in re.findall(r"`(\w+)`", told[1])]
        assert [key for key in keys if not any(re.fullmatch(one, key) for one in known)] in ([], ["wall_s"])


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_pages_name_is_there(path: Path) -> None:
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        generated = (path.parent / target).resolve().is_relative_to(GENERATED)  # the site's build looks at these
        if "://" not in target and not generated and not (path.parent / target).exists():
            broken.append(target)
    for code in re.findall(r"`([^`\n]+)`", text):
        for name in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]", code):
            broken += [] if (ROOT / name).exists() else [name]
    assert broken == []


def typed(path: Path) -> Iterator[str]:
    """Give the commands of a page's examples: fenced ones for a shell, indented ones, and what stands in a sentence."""
    text = path.read_text(encoding="utf-8")
    lines = [line for kind, block in FENCED.findall(text) if kind == "sh" for line in block.splitlines()]
    rest = FENCED.sub("", text)
    lines += [line.strip() for line in rest.splitlines() if line.startswith("    ")]
    lines += [code for code in re.findall(r"`([^`\n]+)`", rest) if not re.search(r"[A-Z]{3}|…", code)]
    for line in lines:
        for command in line.partition(" #")[0].split("&&"):
            if command.strip().startswith(("python -m visnet", "make ")):
                yield command.strip()


EXAMPLES = [(path, command) for path in WRITTEN for command in typed(path)]


@pytest.mark.parametrize(("path", "command"), EXAMPLES, ids=[f"{p.stem}: {c}" for p, c in EXAMPLES])
def test_what_pages_type_is_a_command(path: Path, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS
        return
    known, words = typer.main.get_command(app), words[3:]
    while hasattr(known, "commands") and words:
        assert words[0] in known.commands, f"no command is called {words[0]}"
        known, words = known.commands[words[0]], words[1:]
    if not hasattr(known, "commands"):
        known.make_context("visnet", words).close()  # refuses what it does not take


def test_there_are_examples_of_everything_that_is_typed() -> None:
    whole = " ".join(path.read_text(encoding="utf-8") for path in WRITTEN)
    assert len(EXAMPLES) > 40
    assert [name for name, _ in functions() if f"visnet {name}" not in whole and f"`{name}`" not in whole] == []
