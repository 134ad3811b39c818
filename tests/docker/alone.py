"""`python -m tests.docker.alone COMMAND [-- COMMAND …]`: `visnet` with what the image `serve` has, and nothing else.

Modules of all distributions that requirements-serve.lock does not name are as if they were not installed. What was
imported in the end is written to the file that ALONE_SEEN names.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-serve.lock"
SEEN = "ALONE_SEEN"


def locked() -> set[str]:
    """Return the names that the lock has, and ours."""
    return {"visnet", *re.findall(r"(?m)^([a-z0-9.-]+)==", LOCK.read_text(encoding="utf-8"))}


def modules(distribution: metadata.Distribution) -> Iterator[str]:
    """Name the modules that a distribution's files are."""
    for file in distribution.files or ():
        place, end = file.parts, file.suffix
        if end in (".py", ".so") and ".." not in place and all(part.isidentifier() for part in place[:-1]):
            name = place[-1].partition(".")[0]
            yield ".".join(place[:-1] if name == "__init__" else (*place[:-1], name))


def absent() -> set[str]:
    """Return the modules that are installed here, and would not be by the lock."""
    inside, outside = set[str](), set[str]()
    names = locked()
    for one in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        (inside if name in names else outside).update(modules(one))
    return outside - inside


def leave_out(names: set[str]) -> None:
    """Have Python find none of these modules, as where their files are not."""

    class Present(PathFinder):
        @classmethod
        def find_spec(cls, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
            return None if name in names else PathFinder.find_spec(name, path, target)

    sys.meta_path[sys.meta_path.index(PathFinder)] = Present


def main() -> int:
    """Run the commands, one after the other, and return the last one's exit code."""
    names = absent()
    leave_out(names)
    from visnet import __main__ as visnet

    code, words = 0, [*sys.argv[1:], "--"]
    while words:
        at = words.index("--")
        sys.argv, words = ["visnet", *words[:at]], words[at + 1 :]
        code = visnet.main()
        print(f"exit {code}", file=sys.stderr)
    if SEEN in os.environ:
        seen = {"imported": sorted(sys.modules), "absent": sorted(names & set(sys.modules))}
        Path(os.environ[SEEN]).write_text(json.dumps(seen), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
