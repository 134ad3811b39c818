"""The taxonomy as a tree: which paths are allowed, and the nodes that they pass, each by a number.

A node is a prefix of an allowed path and known by its whole text, so that one name under two parents is two nodes but
one token. Nodes are numbered level by level, and in a level by their names; the children of a node are therefore
neighbours, and `parents` never falls.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from visnet.errors import Damaged, NotFound
from visnet.storage import atomic
from visnet.taxonomy.paths import levels_of

NOTHING_TO_CHOOSE = "a taxonomy with one path has nothing to choose"
VERSION_DIGITS = 12


@dataclass(frozen=True)
class Taxonomy:
    """The allowed paths [P] and the nodes [N] on them; `Taxonomy.of` makes one, and equal paths make equal ones.

    A path may end at an inner node. All arrays are int64 and read-only.
    """

    paths: tuple[str, ...]

    @classmethod
    def of(cls, paths: Iterable[str]) -> "Taxonomy":
        """Make the taxonomy of the allowed paths' texts, each counted once; they are sorted by their levels.

        `ValueError` for no path, for one alone, for a path with an unnamed level, and for two texts of one path.
        """
        if isinstance(paths, str):
            raise ValueError(f"paths: several texts are wanted, not the one text {paths!r}")
        levels = {path: checked_levels(path) for path in paths}
        ordered = sorted(levels, key=lambda path: (levels[path], path))
        if not ordered:
            raise ValueError("a taxonomy without a path: two or more are wanted")
        if len(ordered) == 1:
            raise ValueError(f"{ordered[0]!r} is the only path: {NOTHING_TO_CHOOSE}")
        texts: dict[tuple[str, ...], str] = {}  # of every prefix
        for path in ordered:
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                text = "/".join(parts[:depth])
                other = texts.setdefault(tuple(levels[path][:depth]), text)
                if other != text:
                    raise ValueError(f"{other!r} and {text!r} are two texts of one path: write it in one way")
        return cls(tuple(ordered))

    @classmethod
    def load(cls, file: Path) -> "Taxonomy":
        """Read what `save` wrote; `NotFound` where there is no file, `Damaged` where it is not what was written."""
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            there = cls.of(read["paths"])
            if list(there.paths) != read["paths"] or there.version != read["version"]:
                raise ValueError("other paths than its version")
        except FileNotFoundError:
            raise NotFound(f"{file}: no taxonomy is there") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Damaged(f"{file} is damaged: it is no taxonomy as it was saved; save it anew") from None
        return there

    def save(self, file: Path) -> None:
        """Write it as JSON, whole or not at all."""
        atomic.put_json(file, {"version": self.version, "paths": list(self.paths)})

    @cached_property
    def version(self) -> str:
        """Return the first 12 hex digits of a SHA-256 over the paths: equal paths have one on any machine."""
        return hashlib.sha256(json.dumps(self.paths).encode()).hexdigest()[:VERSION_DIGITS]

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Return every prefix of a path, [N]: level by level, and in a level by the names on the way."""
        found = {prefix for path in self.paths for prefix in prefixes(path)}
        named = {node: levels_of(node) for node in found}
        return tuple(sorted(found, key=lambda node: (len(named[node]), named[node])))

    @cached_property
    def path_numbers(self) -> Mapping[str, int]:
        """Return the number of each path's text."""
        return MappingProxyType({path: number for number, path in enumerate(self.paths)})

    @cached_property
    def node_numbers(self) -> Mapping[str, int]:
        """Return the number of each node's text."""
        return MappingProxyType({node: number for number, node in enumerate(self.nodes)})

    @cached_property
    def parents(self) -> np.ndarray:
        """Return the parent of each node, [N], which is before it; -1 at the first level."""
        return _fixed([self.node_numbers.get(node.rpartition("/")[0], -1) for node in self.nodes])

    @cached_property
    def levels(self) -> np.ndarray:
        """Return the level of each node, [N], from 0."""
        return _fixed([node.count("/") for node in self.nodes])

    @cached_property
    def ends(self) -> np.ndarray:
        """Return the node at which each path ends, [P]."""
        return _fixed([self.node_numbers[path] for path in self.paths])

    @cached_property
    def ancestors(self) -> np.ndarray:
        """Return the node of each path at each level, [P, depth]; -1 beyond its end."""
        there = np.full((len(self.paths), self.depth), -1, np.int64)
        for number, path in enumerate(self.paths):
            passed = [self.node_numbers[prefix] for prefix in prefixes(path)]
            there[number, : len(passed)] = passed
        return _fixed(there)

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Return the distinct names of levels, [V], sorted by code points."""
        return tuple(sorted({levels_of(node)[-1] for node in self.nodes}))

    @cached_property
    def token_of(self) -> np.ndarray:
        """Return the token of each node, [N]."""
        numbers = {token: number for number, token in enumerate(self.tokens)}
        return _fixed([numbers[levels_of(node)[-1]] for node in self.nodes])

    @cached_property
    def depth(self) -> int:
        """Return how many levels the deepest path has."""
        return int(self.levels[-1]) + 1

    def children(self, node: int | None) -> np.ndarray:
        """Return the nodes below a node, ascending, or those of the first level for None; none below a leaf.

        `ValueError` for a number that no node has.
        """
        if node is not None and not 0 <= node < len(self.nodes):
            raise ValueError(f"node {node}: allowed is 0 to {len(self.nodes) - 1}, or None for the first level")
        parent = -1 if node is None else node
        return np.arange(*np.searchsorted(self.parents, [parent, parent + 1]), dtype=np.int64)


def prefixes(path: str) -> list[str]:
    """Return the texts of the nodes that a path's text passes, from its first level to itself; none of ""."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def checked_levels(path: str) -> list[str]:
    """Return the levels of a path's text; `ValueError` where it has none, or one without a name."""
    levels = levels_of(path)
    if not path.strip():
        raise ValueError(f"{path!r}: an empty path; levels joined by / are wanted")
    unnamed = next((number for number, level in enumerate(levels, 1) if not level.strip()), 0)
    if unnamed:
        raise ValueError(f"path {path!r}: level {unnamed} has no name")
    return levels


def _fixed(values: Sequence[int] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.int64)
    array.flags.writeable = False
    return array
