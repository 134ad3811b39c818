"""Reading a DVC project: the graph, and versions that change exactly when DVC would run a stage again."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from orchestration.bridge.project import due, read_lock, read_project
from orchestration.bridge.unreadable import Unreadable, read, read_or_recall
from tests.orchestration.running import Toy


def stale(root: Path) -> set[str]:
    """The stages that the hourly refresh would find due, and Dagster call stale."""
    stages = read_project(root)
    return set(due(stages, read_lock(stages.values())))


def changed(toy: Toy) -> set[str]:
    """The stages that DVC says it would run, directly: for their own inputs, not for a stage that may change them."""
    with Repo(str(toy.root)) as repo:
        return {name.rpartition(":")[2] for name in repo.status()}


def test_graph_and_descriptions_are_dvcs(toy: Toy) -> None:
    stages = read_project(toy.root)
    assert list(stages) == ["photos", "model", "answers"]  # each after what it reads, however dvc.yaml lists them
    assert {name: set(stage.reads) for name, stage in stages.items()} == {
        "photos": set(),
        "model": {"photos"},
        "answers": {"photos", "model"},
    }
    assert stages["photos"].desc == "Some photos"
    assert set(stages["photos"].sources) == {"source.txt", "make.py"}  # a template was resolved
    assert [(plot.title, plot.columns) for plot in stages["model"].plots] == [
        ("Loss", ("train_loss", "validation_loss"))
    ]


def test_versions_agree_with_dvc_status(toy: Toy) -> None:
    assert stale(toy.root) == changed(toy) == {"photos", "model", "answers"}
    toy.dvc("repro")
    assert stale(toy.root) == changed(toy) == set()  # 1e-05 among the parameters: YAML dialects differ on it

    toy.set("k", 4)
    assert stale(toy.root) == changed(toy) == {"answers"}
    toy.dvc("repro")
    (toy.root / "source.txt").write_text("crimson gold navy\n")
    assert stale(toy.root) == changed(toy) == {"photos"}
    toy.dvc("repro", "--single-item", "photos")
    assert stale(toy.root) == changed(toy) == {"model", "answers"}
    toy.dvc("repro", "--single-item", "model")
    assert stale(toy.root) == changed(toy) == {"answers"}


def test_data_version_ignores_reports(toy: Toy) -> None:
    toy.dvc("repro")
    stage = read_project(toy.root)["answers"]
    before = read_lock([stage])["answers"]
    toy.dvc("repro", "--force", "--single-item", "answers")  # same data, another wall time
    after = read_lock([stage])["answers"]
    assert before["outs"] != after["outs"]
    assert stage.data_version(before) == stage.data_version(after)


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("params.toml", "k = 3", "k = = 3", r"params.toml:10: Unexpected character: '='"),
        ("params.toml", "k = 3", "k = 3\nk = 4", r"params.toml:11: Cannot overwrite a value"),
        ("params.toml", "k = 3", "k = 3\n[photos]", r"params.toml:11: Key .photos. already exists"),
        ("params.toml", "k = 3", "k = 3  # \udcff", r"params.toml:10: not UTF-8"),
        ("dvc.yaml", "stages:", "stages:\n\t- [", r"dvc.yaml:5: while scanning for the next token found character"),
        ("dvc.yaml", "outs: [data/answers]", "outz: [a]", r"validation failed: extra keys not allowed @ .*outz"),
        ("params.toml", "source =", "sorce =", r"failed to parse 'stages.photos.deps' in '.*': Could not find"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_recalled(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, file: str, before: str, after: str, says: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(toy.root / "home"))
    monkeypatch.chdir(toy.root)
    (toy.root / "home").mkdir()
    whole = read_or_recall(toy.root)
    text = (toy.root / file).read_text().replace(before, after)
    (toy.root / file).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Unreadable, match=says) as raised:
        read(toy.root)
    assert "\n" not in str(raised.value)
    recalled = read_or_recall(toy.root)
    assert (recalled.stages, recalled.problem) == (whole.stages, str(raised.value))


@pytest.mark.parametrize("gone", ["source.txt", "make.py"])
def test_a_missing_source_is_a_version_of_its_own(toy: Toy, gone: str) -> None:
    before = read_project(toy.root)["photos"]
    (toy.root / gone).unlink()
    after = read_project(toy.root)["photos"]
    assert after.sources[gone] == ""
    assert after.code_version != before.code_version
