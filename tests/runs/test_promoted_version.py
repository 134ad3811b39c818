"""A promoted version in params.toml: one number changes, and all that a person wrote around it stays."""

import tomllib
from pathlib import Path

import pytest

from tests.workspace import ROOT
from visnet.runs import experiment


def promoted(text: str, tmp_path: Path, version: int = 12) -> str:
    """Return the file with the version in it; whatever its form, it must be read as that, and all else as before."""
    path = tmp_path / "params.toml"
    path.write_bytes(text.encode())
    experiment.serve(version, path)
    after = path.read_bytes().decode()
    wanted = tomllib.loads(text)
    wanted.setdefault("trained_model", {})["version"] = version
    assert tomllib.loads(after) == wanted
    return after


@pytest.mark.parametrize("path", [ROOT / "params.toml", *(ROOT / "examples").glob("*.toml")], ids=lambda p: p.name)
def test_in_what_is_shipped_no_other_line_changes(path: Path, tmp_path: Path) -> None:
    before = path.read_text()
    after = promoted(before, tmp_path)
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split("#")[0].strip() for line in changed] == ["version = 12"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version = 0     # x\nseed = 1  # y\n", "version = 12    # x\nseed = 1  # y\n"),
        ("version = 123   # x\n", "version = 12    # x\n"),
        ("version = 0 # x\n", "version = 12 # x\n"),
        ("  version=0\n  seed=1\n", "  version=12\n  seed=1\n"),
        ("version = 0  # x\r\nseed = 1\r\n", "version = 12 # x\r\nseed = 1\r\n"),
        ("seed = 1\nversion = 0", "seed = 1\nversion = 12\n"),
    ],
)
def test_comments_alignment_order_and_line_ends_stay(before: str, after: str, tmp_path: Path) -> None:
    header = "# whole\n[trained_model]  # what learns\n"
    assert promoted(header + before, tmp_path) == header + after


def test_where_there_is_none_it_comes_first_and_the_next_tables_comment_stays_with_it(tmp_path: Path) -> None:
    rows = 'config = "a"   # c\n\n# what is served\n[publish]\nkeep = 5\n'
    assert promoted("[trained_model]\n" + rows, tmp_path) == "[trained_model]\nversion = 12\n" + rows
    assert promoted("[crops]\nside_px = 96\n", tmp_path) == "[crops]\nside_px = 96\n\n[trained_model]\nversion = 12\n"


@pytest.mark.parametrize(
    "text", ["trained_model.version = 0 # x\n", "trained_model = { version = 0, seed = 1 }\n", "[trained_model]", ""]
)
def test_every_form_that_toml_allows_is_read(text: str, tmp_path: Path) -> None:
    promoted(text, tmp_path)
