"""One way each: text files, what is durable on disk, the names of classes, what is installed."""

import ast
from pathlib import Path

import pytest

from tests.test_structure import ROOT, modules


def texts_without_encoding(path: Path) -> list[int]:
    """List the lines that open a text file in whatever encoding the machine has."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, given = node.func.attr, {word.arg for word in node.keywords}
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        opened = (
            name == "open" and not any("b" in text for text in texts) and ast.unparse(node.func.value) not in OPENERS
        )
        if (name in ("read_text", "write_text") or opened) and "encoding" not in given:
            found += [node.lineno] * (name != "read_text" or not node.args)
    return found


OPENERS = (
    "Image",
    "os",
    "gzip",
    "Gallery",
    "ShopGallery",
    "PhotoFacts",
    "Entries",
    "zvec",
)  # whose `open` is not a text file's


def test_text_files_are_utf8_on_every_machine() -> None:
    found = {name: lines for name, path in modules() if (lines := texts_without_encoding(path))}
    assert found == {}, 'say encoding="utf-8": elsewhere it is another one'


DURABLE = {"os.replace", "os.rename", "os.fsync", "fcntl.flock", "shutil.move"}


def made_durable(path: Path) -> list[str]:
    """List the calls that rename, replace, sync or lock what stands on disk, those of a `Path` included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        of_path = isinstance(node.func, ast.Attribute) and node.func.attr in ("rename", "replace")
        if call in DURABLE:
            found.add(call)
        elif of_path and len(node.args) == 1 and not node.keywords:  # a text's takes two, a frame's its columns by name
            found.add(f"Path.{call.rpartition('.')[2]}")
    return sorted(found)


def test_what_is_renamed_synced_or_locked_is_so_in_one_place() -> None:
    found = {name: calls for name, path in modules() if name.startswith("visnet.") and (calls := made_durable(path))}
    assert found == {
        "visnet.storage.atomic": ["Path.rename", "os.fsync", "os.replace"],
        "visnet.storage.locks": ["fcntl.flock"],
    }


def test_a_name_is_one_class() -> None:
    """Whoever reads `Batch` must not have to ask which; `Params` is what each of many modules has."""
    classes: dict[str, list[str]] = {}
    for name, path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body if name.startswith("visnet") else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append(name)
    assert {name: found for name, found in classes.items() if len(found) > 1 and name != "Params"} == {}


LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index(lock: str) -> None:
    assert "http" not in "".join(
        line for line in (ROOT / lock).read_text().splitlines() if "://" in line or "index" in line
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_installed_is_pinned_with_hashes(lock: str) -> None:
    pinned = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    assert pinned
    assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []
