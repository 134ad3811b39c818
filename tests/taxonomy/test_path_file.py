"""visnet.taxonomy.path_file: allowed paths, as people and Google write them."""

from pathlib import Path

import pytest

from tests.sources.test_atlas import TAXONOMY
from visnet.errors import NotFound
from visnet.taxonomy.path_file import read_paths
from visnet.taxonomy.paths import joined, levels_of
from visnet.taxonomy.tree import Taxonomy


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "paths.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_arrows_and_slashes_say_the_same_of_atlas(tmp_path: Path) -> None:
    arrows = read_paths(written(tmp_path, "\n".join(" > ".join(path) for path in TAXONOMY)))
    slashes = read_paths(written(tmp_path, "\r\n".join(map(joined, TAXONOMY)) + "\r\n"))
    assert arrows == slashes == tuple(map(joined, TAXONOMY))
    assert len(Taxonomy.of(arrows).paths) == 52


def test_a_file_as_google_has_it(tmp_path: Path) -> None:
    text = (
        "\ufeff# Google_Product_Taxonomy_Version: 2021-09-21\n1 - Animals & Pet Supplies\n\n"
        "3237 - Animals & Pet Supplies > Live  Animals\n  12 - Party/Celebration >  Confetti 100 %  "
    )
    found = read_paths(written(tmp_path, text))
    assert found == (
        "Animals & Pet Supplies",
        "Animals & Pet Supplies/Live  Animals",
        "Party%2FCelebration/Confetti 100 %25",
    )
    assert levels_of(found[2]) == ["Party/Celebration", "Confetti 100 %"]


def test_without_arrows_a_line_is_the_text_of_a_path(tmp_path: Path) -> None:
    assert read_paths(written(tmp_path, "A/B%2FC\n7 - A>B\n[Sale]/Shoes")) == ("A/B%2FC", "A>B", "[Sale]/Shoes")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("A > B\nC > D\n# x\nA > B", "line 4: 'A > B': the path is on line 1 already"),
        ("1 - A\n2 - A", "line 2: 'A': the path is on line 1 already"),
        ("A > B\nA >  > B", "line 2: 'A >  > B': a level has no name"),
        ("A > B\nA >", "line 2: 'A >': a level has no name"),
        ("A > B\n> B", "line 2: '> B': a level has no name"),
        ("A\nA//B", "line 2: 'A//B': a level has no name"),
        ("A\n5 -  \nB", "line 2: '': a level has no name"),
        ("", "no path is in it"),
        ("# nothing\n\n", "no path is in it"),
        ("# one\nA > B", "line 2: its only path; a taxonomy with one path has nothing to choose"),
        ('["A", "B"]', "line 1: JSON; one path a line"),
        ('{\n"paths": []}', "line 1: JSON"),
        ('{"path": "A"}\n{"path": "B"}', "line 1: JSON"),
        ("[" * 100_000, "line 1: JSON"),
        (b"A\nB\xff/C\n", "line 2: not UTF-8"),
    ],
)
def test_a_refusal_names_file_and_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"paths\.txt") as refused:
        read_paths(file)
    assert f"{file}: {said}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.txt: no such file"):
        read_paths(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="a folder; a text file is wanted"):
        read_paths(tmp_path)
