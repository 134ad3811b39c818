"""What is offered is documented, and what is documented is there: `__all__` of each module, and names in the pages."""

import importlib
import inspect
import re
from types import ModuleType

import pytest

from tests.test_structure import ROOT, modules

WRITTEN = [path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(path.relative_to(ROOT).as_posix() for path in WRITTEN))
FENCED = re.compile(r"(?ms)^```.*?^```$")
NAME = re.compile(r"(?:visnet|kernels|orchestration)(?:\.[A-Za-z_]\w*)+")
OFFERING = [name for name, path in modules() if re.search(r"(?m)^__all__ = ", path.read_text(encoding="utf-8"))]


def found(name: str) -> object:
    """Return what a dotted name means: a module, or an attribute in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            there: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):  # a library that is not installed
                raise
            continue
        for part in parts[count:]:
            there = getattr(there, part)
        return there
    raise ModuleNotFoundError(name)


def names(page: str) -> list[str]:
    """List the dotted names of our packages in a page's inline code; examples are run by tests of their own."""
    text = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return sorted({name for code in re.findall(r"`([^`\n]+)`", text) for name in NAME.findall(code)})


def explained(there: object, name: str) -> bool:
    """Tell whether a docstring of its own says what something is; the one that a dataclass makes up does not."""
    said = there.__doc__ or ""
    return bool(said) and not said.startswith(f"{name}(")


def kind(name: str) -> tuple[int, str]:
    """Order as ruff does: constants, classes, then functions and modules."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_packages_offer_something() -> None:
    assert {"kernels.nearest", "visnet.losses", "visnet.training", "visnet.zoo"} <= set(OFFERING)


@pytest.mark.parametrize("module", OFFERING)
def test_what_a_module_offers_is_there_sorted_and_says_what_it_is(module: str) -> None:
    owner = importlib.import_module(module)
    offered: list[str] = owner.__all__
    assert offered == sorted(set(offered), key=kind)
    for name in offered:
        there = getattr(owner, name)
        if inspect.isroutine(there) or inspect.isclass(there) or isinstance(there, ModuleType):
            assert explained(there, name), f"{module}.{name} has no docstring"
        else:
            assert name.isupper(), f"{module}.{name} is neither a function, a class nor a constant"


def test_what_the_pages_name_is_there() -> None:
    named = {name: page for page in PAGES for name in names(page)}
    assert len(named) > 5
    for name, page in named.items():
        try:
            found(name)
        except (ModuleNotFoundError, AttributeError) as error:
            pytest.fail(f"{page} names {name}: {error}")
