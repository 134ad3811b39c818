"""The house: which module may import which, and that stages, parameters, dvc.yaml and assets are one list."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from visnet.pipeline import stage as stages
from visnet.runs import runner

ROOT = Path(__file__).resolve().parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# The wings of visnet, lowest first: a module imports from its own wing and from lower ones only.
WINGS = (
    "errors",
    "storage",
    "pipeline",
    "engines",
    "models",
    "losses",
    "zoo",
    "taxonomy",
    "photos",
    "embedding",
    "search",
    "duplicates",
    "sampling",
    "training",
    "evaluation",
    "sheets",
    "localizing",
    "categorizing",
    "quality",
    "synthetic",
    "sources",
    "inspection",
    "serving",
    "client",
    "tracking",
    "review",
    "stages",
    "runs",
    "commands",
    "__main__",
)
DAGSTER_WINGS = ("bridge", "line", "ui", "defs", "definitions")  # of orchestration, which stand in the same order

ONLY_IN = {  # an outside package -> the modules that may import it
    "mlflow": {"visnet.tracking"},
    "dagster": {"orchestration"},
    "dvc": {"orchestration"},
    "lance": {"visnet.storage.table", "visnet.storage.shared_compaction"},
    "boto3": {"visnet.storage.object_store", "orchestration.ui.roles"},
    "botocore": {"visnet.storage.object_store", "orchestration.ui.roles"},
    "ray": {"visnet.engines"},
    "onnxruntime": {"visnet.models.onnx_network"},
}


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in ("visnet", "kernels", "orchestration"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def level(package: str, part: str) -> int:
    """Return the height of a wing."""
    wings = {"visnet": WINGS, "orchestration": DAGSTER_WINGS}[package]
    assert part in wings, f"{package}.{part} is in no wing; the wings are {', '.join(wings)}"
    return wings.index(part)


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_run_downwards(name: str, path: Path) -> None:
    package, *rest = name.split(".")
    for other in imported(path):
        top, *inner = other.split(".")
        for outside, allowed in ONLY_IN.items():
            if top == outside:
                assert any(name == a or name.startswith(a + ".") for a in allowed), f"{name} imports {other}"
        if package == "kernels":
            assert top not in ("visnet", "orchestration"), f"{name} imports {other}"
        if package == "orchestration":
            assert top not in ("visnet", "kernels", "torch"), f"{name} imports {other}"
        if package == "visnet":
            assert top != "orchestration", f"{name} imports {other}"
        if package == top != "kernels" and rest and inner and inner[0] not in (rest[0], "__version__"):
            assert level(top, inner[0]) <= level(top, rest[0]), f"{name} imports {other}, which is above it"


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = dict(modules())
    graph = {}
    for name, path in files.items():
        found = imported(path) & files.keys()
        # `from package import module` is no import of what the package says itself
        packages = {other for other in found if any(inner.startswith(f"{other}.") for inner in found)}
        graph[name] = found - packages - {name}
    TopologicalSorter(graph).prepare()


def test_a_function_is_read_and_called_at_a_glance() -> None:
    """At most 70 lines, and 7 parameters by position; but a Triton kernel, which cannot be several.

    What a stage's `build` takes by position is what it reads, however much that is.
    """
    long, wide = {}, {}
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.endswith("_kernel"):
                own = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
                lines = (node.end_lineno or 0) - node.lineno + 1
                long |= {f"{name}.{node.name}": lines} if lines > 70 else {}
                edges = node.name == "build" and name.startswith("visnet.stages.")
                wide |= {f"{name}.{node.name}": len(own)} if len(own) > 7 and not edges else {}
    assert (long, wide) == ({}, {})


def test_every_module_is_in_a_wing_and_each_wing_has_its_sentence_in_contributing() -> None:
    assert {path.name for path in (ROOT / "visnet").glob("*.py")} == {"__init__.py", "__main__.py"}
    folders = {path.parent.name for path in (ROOT / "visnet").glob("*/__init__.py")}
    assert folders == {*WINGS} - {"__main__"}
    told = (ROOT / "CONTRIBUTING.md").read_text()
    tree = []
    for wing in WINGS[:-1]:
        said = ast.get_docstring(ast.parse((ROOT / "visnet" / wing / "__init__.py").read_text()))
        assert said, f"visnet/{wing} says nothing of itself"
        tree.append(f"    {wing + '/':<12} {said.splitlines()[0]}\n")
    assert "".join(tree) in told


def test_the_way_of_a_photo_passes_files_that_are_there() -> None:
    way = (ROOT / "CONTRIBUTING.md").read_text().partition("### A photo's way")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z_0-9/]+\.py)`", way)
    assert len(named) > 25
    assert [name for name in named if not (ROOT / "visnet" / name).is_file()] == []
    passed = [name for name in named if name.startswith("stages/")]
    assert passed == [f"stages/{name}.py" for name in stages.STAGES if f"stages/{name}.py" in passed]


@pytest.mark.parametrize("stage", stages.STAGES)
def test_a_stage_is_one_module_one_table_and_one_dvc_stage(stage: str) -> None:
    module = stages.module(stage)
    file = runner.params_file(stage, ROOT / "params.toml")
    tables = tomllib.loads(file.read_text())
    assert stages.parse(stage, tables.get(stage, {}), file.name)
    row = DVC[stage]
    assert row["cmd"] == f"python -m visnet run {stage}"
    chosen = [{file.name: [stage]}] if module.Params.model_fields else None
    assert row.get("params") == chosen
    data = [dep.removeprefix("data/") for dep in row["deps"] if dep.startswith("data/")]
    assert data == stages.edges(stage), "the signature of build() and dvc.yaml name other inputs"
    assert f"visnet/stages/{stage}.py" in row["deps"]
    kept = {}
    for part in ("outs", "metrics", "plots"):
        kept |= {name: options for out in row.get(part, []) for name, options in out.items()}
    # Else DVC deletes it before the stage runs, and a stage that fails has cost what was good.
    assert all(options.get("persist") for options in kept.values())
    assert kept[f"reports/{stage}.json"]["cache"] is False
    compared = [name for out in row.get("metrics", ()) for name in out]
    assert compared == [f"reports/metrics/{stage}.json"] * hasattr(module, "METRICS")
    # Where readers stand in the folder, DVC has a file of digests that says what it is of.
    made = "data/published.json" if getattr(module, "SERVED", False) else f"data/{stage}"
    assert [name for name in kept if name.startswith("data/")] == [made]
    assert all((ROOT / dep).exists() for dep in row["deps"] if not dep.startswith(("data/", "$")))


def test_there_are_no_other_stages_anywhere() -> None:
    files = {p.stem for p in (ROOT / "visnet/stages").glob("*.py")} - {"__init__"}
    assert set(DVC) == files == set(stages.STAGES)
    chosen = {stage for stage in files if stages.module(stage).Params.model_fields}
    assert set(runner.read_params(ROOT / "params.toml")) == chosen


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.name)
def test_every_example_is_accepted(path: Path) -> None:
    tables = tomllib.loads(path.read_text())
    assert set(tables) == set(tomllib.loads((ROOT / "params.toml").read_text()))
    for stage, table in tables.items():
        stages.parse(stage, table, path.name)


LIBRARY = ["kernels.nearest", "visnet.models", "visnet.zoo", "visnet.zoo.weights", "visnet.losses", "visnet.training"]
LIBRARY += ["visnet.embedding.embed", "visnet.embedding.colour_histogram", "visnet.search.products"]
LIBRARY += ["visnet.search.mining", "visnet.evaluation.metrics", "visnet.evaluation.retrieval"]
SAMPLING = ["visnet.sampling.samplers"]  # whose parameters are pydantic's
TASKS = ["visnet.categorizing.task", "visnet.categorizing.beams", "visnet.categorizing.attention_picture"]
TASKS += ["visnet.localizing.task", "visnet.localizing.localizer", "visnet.quality.zoom_filter", "visnet.quality.head"]
TASKS += ["visnet.quality.features", "visnet.categorizing.sureness"]  # which also import pyarrow


def test_the_library_imports_on_a_bare_gpu_machine() -> None:
    absent = ["dagster", "dvc", "mlflow", "lance", "pyarrow", "pydantic", "httpx", "pytorch_metric_learning"]
    absent += ["timm", "huggingface_hub"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent}))\nfor m in {LIBRARY}: __import__(m)"
    code += f"\ndel sys.modules['pydantic']\nfor m in {SAMPLING}: __import__(m)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_what_trains_imports_without_lance_and_pydantic() -> None:
    absent = ["dagster", "dvc", "mlflow", "lance", "pydantic", "httpx", "pytorch_metric_learning", "onnxruntime"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent}))\nfor m in {TASKS}: __import__(m)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_module_says_in_a_line_what_it_is() -> None:
    for name, path in modules():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{name} has no docstring"


def test_stage_modules_import_by_name() -> None:
    for stage in stages.STAGES:
        assert importlib.import_module(f"visnet.stages.{stage}").build.__annotations__["out"] is Path


def test_an_optional_stage_that_is_off_imports_nothing_that_takes_time() -> None:
    """Each costs every run of the line a process; with torch that would be two seconds of CPU."""
    light = ["localizer", "proposed_boxes", "taxonomy_model", "category_paths", "photo_quality", "duplicates"]
    code = f"import sys\nfor m in {light}: __import__(f'visnet.stages.{{m}}')\nsys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
