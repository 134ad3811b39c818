"""CONTRIBUTING's recipes, followed to the letter in a copy: what was added is what the line then works with."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_structure import ROOT
from tests.workspace import environment

BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.M | re.S)

# In one process, since to import torch and Lance takes longer than all the rest.
FOLLOW = """
import json
import sys
from pathlib import Path

import pytest

from visnet.pipeline import stage
from visnet.pipeline.log import SILENT
from visnet.runs import runner
from visnet.stages import trained_model
from visnet.zoo import weights

tables = runner.read_params()
tables["triplets"] |= {"train": 64, "validation": 8, "test": 8}
line = ("raw_images", "crops", "shades", "photo_quality", "triplets")
reports = {name: runner.run(name, tables=tables) for name in line}
model = Path("data/trained_model")
model.mkdir()
params = stage.parse("trained_model", tables["trained_model"], "params.toml")
inputs = Path("data/crops"), Path("data/triplets")
reports["trained_model"] = trained_model.build(*inputs, out=model, params=params, log=SILENT)
entry = weights.load(model)[1]
reports["entry"] = {"loss": entry.loss.name, "trunk": entry.architecture.parameters["trunk"]}
Path("followed.json").write_text(json.dumps(reports))
late = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # this process has imported what pytest would rewrite
files = ["tests/test_structure.py", "tests/test_deps.py"]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *late, *files, "-k", "shades"]))
"""


def changed(text: str, hunks: str, file: str) -> str:
    """Apply the hunks of a diff without line numbers: each must fit in just one place."""
    for hunk in hunks.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        if all(line[0] in "-+" for line in lines):  # within a line
            old, new = old.removesuffix("\n"), new.removesuffix("\n")
        assert text.count(old) == 1, f"{file} has {text.count(old)} places like\n{old}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the reports of a copy in which every recipe was followed."""
    folder = tmp_path_factory.mktemp("contributing") / "shop"
    for name in ("visnet", "kernels"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "bench"))
    (folder / "tests").mkdir()
    for name in ("dvc.yaml", "pyproject.toml", "tests/__init__.py", "tests/test_structure.py", "tests/test_deps.py"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "orchestration", folder / "orchestration", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "params.toml").touch()
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for kind, name, text in blocks:
        path = folder / name
        if kind == "diff":
            path.write_text(changed(path.read_text(), text, name))
        elif name == "params.toml":
            path.write_text(f"{path.read_text()}\n{text}")
        else:
            assert not path.exists(), f"{name} is there already"
            path.write_text(text)
    (folder / "swatches.txt").write_text("red green blue yellow black white purple orange navy pink notacolour grey")
    command = [sys.executable, "-c", FOLLOW]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads((folder / "followed.json").read_text()) | {"folder": str(folder)}


def test_an_added_source_is_read(followed: dict[str, Any]) -> None:
    said = followed["raw_images"]
    assert (said["photos"], said["lost"], said["lost_no_such_colour"]) == (24, 2, 2)


def test_an_added_stage_runs_and_all_that_names_stages_agrees(followed: dict[str, Any]) -> None:
    assert 0 < followed["shades"]["dark_share"] < 1
    folder = Path(followed["folder"])
    compared = json.loads((folder / "reports/metrics/shades.json").read_text())
    assert compared == {"dark_share": followed["shades"]["dark_share"]}
    assert (folder / "data/shades/dark.txt").is_file()


def test_an_added_sampler_draws(followed: dict[str, Any]) -> None:
    assert followed["triplets"]["train_by_chance"] == followed["triplets"]["train"] == 64


def test_an_added_model_with_an_added_trunk_and_loss_is_trained(followed: dict[str, Any]) -> None:
    said = followed["trained_model"]
    assert (said["config"], said["train_triplets"], said["epochs"]) == ("tiny_logistic", 64, 1)
    assert followed["entry"] == {"loss": "logistic", "trunk": "tiny"}
    assert 0 < said["train_loss"] < 10
