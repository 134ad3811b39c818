"""What shapes data is a dependency: each stage's `deps` in dvc.yaml hold every module that its result is made by."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.bridge.project import read_project
from tests.test_structure import DVC, ROOT
from visnet.pipeline.stage import STAGES

# Modules on a stage's import path that its result is not made by: a change of them runs nothing again.
# A wing stands for all of it.
SHAPES_NOTHING = {
    "visnet": "the version's number",
    "visnet.errors": "how a refusal is told apart; what is refused has no result",
    "visnet.pipeline": "parameters reach a stage as params.toml has them, and DVC reads these itself",
    "visnet.engines": "where rows are made; what they are is the work that it is given",
    "visnet.storage": "how rows and files are stored, compared, moved and checked, not what they say",
    "visnet.photos.loss_gate": "refuses a run that would lose too much; what passes is the same",
    "visnet.serving.galleries": "what readers map of a version; the version is complete without",
    "visnet.sheets": "pictures only",
    "visnet.tracking": "brings a registered model, which its version names; the rest is told to MLflow",
}

LEARNING = ("localizer", "taxonomy_model", "trained_model")
UNUSED = {"visnet/models/detector.py", "visnet/zoo/weights.py"}  # of these, in folders of which all else is used

# What the runner adds to a stage's artefact, by a module that the stage does not import.
ADDED = {"evaluation": ["visnet.evaluation.verdict"]}

# Imports for a name alone: what imports -> what it names, and who does run that.
ONLY_NAMES = {("visnet.zoo", "visnet.losses"): "an entry says which loss; only the training calls it"}


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports, in functions too, but not for its annotations only."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        waiting += ast.iter_child_nodes(node)


def file_of(module: str) -> Path | None:
    """Return the file of a module of ours, None of any other name."""
    place = ROOT.joinpath(*module.split("."))
    found = [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
    return found[0] if found and module.partition(".")[0] in ("visnet", "kernels") else None


def shapes_nothing(module: str) -> bool:
    return module in SHAPES_NOTHING or ".".join(module.split(".")[:2]) in SHAPES_NOTHING


def says_more_than_a_docstring(file: Path) -> bool:
    body = ast.parse(file.read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def names_only(importer: str, module: str) -> bool:
    return any(f"{importer}.".startswith(f"{a}.") and f"{module}.".startswith(f"{b}.") for a, b in ONLY_NAMES)


def made_by(stage: str) -> dict[str, Path]:
    """Return the modules that a stage's result is made by, and their files."""
    found: dict[str, Path] = {}
    waiting = [f"visnet.stages.{stage}", *ADDED.get(stage, [])]
    while waiting:
        module = waiting.pop()
        file = file_of(module)
        if file is None or module in found or shapes_nothing(module) or not says_more_than_a_docstring(file):
            continue
        found[module] = file
        packages = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
        waiting += [other for other in (*packages, *imports(file)) if not names_only(module, other)]
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_code_that_shapes_its_result_and_on_no_other(stage: str) -> None:
    deps = [ROOT / dep for dep in DVC[stage]["deps"] if dep.startswith(("visnet/", "kernels/"))]
    files = {file: module for module, file in made_by(stage).items()}
    lacking = sorted(m for file, m in files.items() if not any(file == d or d in file.parents for d in deps))
    idle = [str(d.relative_to(ROOT)) for d in deps if not any(file == d or d in file.parents for file in files)]
    assert not lacking, f"dvc.yaml: deps of {stage} lack {lacking}; if one shapes nothing, say why in SHAPES_NOTHING"
    assert not idle, f"dvc.yaml: deps of {stage} have {idle}, which it does not import"


@pytest.mark.parametrize("stage", LEARNING)
def test_what_a_model_is_not_made_by_does_not_train_it_again(stage: str) -> None:
    """A folder that is a dependency is used whole, as far as DVC looks into it."""
    ignored = [ROOT / line for line in (ROOT / ".dvcignore").read_text().splitlines() if "/" in line]
    files, idle = set(made_by(stage).values()), []
    for folder in (ROOT / dep for dep in DVC[stage]["deps"] if dep.startswith(("visnet/", "kernels/"))):
        for file in folder.rglob("*.py"):
            seen = not any(file == one or one in file.parents for one in ignored)
            if seen and file not in files and says_more_than_a_docstring(file):
                idle.append(str(file.relative_to(ROOT)))
    assert set(idle) <= UNUSED


def test_what_is_said_to_shape_nothing_is_there() -> None:
    assert not [module for module in SHAPES_NOTHING if file_of(module) is None]


def test_other_pixels_name_every_stage_that_looks_at_them_and_a_comment_in_the_log_none(tmp_path: Path) -> None:
    for name in ("visnet", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "sources"))
    for name in (
        "dvc.yaml",
        "params.toml",
        "localizer.toml",
        "duplicates.toml",
        "taxonomy_model.toml",
        "photo_quality.toml",
        "exclusions.csv",
        "duplicates.csv",
        "photo_quality.csv",
        "taxonomy.txt",
        "taxonomy_changes.csv",
        ".dvcignore",
    ):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "visnet/sources", tmp_path / "visnet/sources")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")

    def changed_by(file: str, old: str, new: str) -> set[str]:
        path = tmp_path / file
        text = path.read_text()
        assert old in text
        before = {name: stage.code_version for name, stage in read_project(tmp_path).items()}
        path.write_text(text.replace(old, new))
        after = {name: stage.code_version for name, stage in read_project(tmp_path).items()}
        path.write_text(text)
        return {name for name, version in before.items() if after[name] != version}

    looking = {"triplets", "trained_model", "catalog_embeddings", "evaluation", "proposed_boxes", "publish"}
    looking |= {"duplicates", "taxonomy_model", "category_paths", "photo_quality"}
    assert changed_by("visnet/embedding/crop_dataset.py", "np.array(picture)", "255 - np.array(picture)") == looking
    assert changed_by("visnet/pipeline/log.py", '"""', '"""Changed: ') == set()
