"""From the tree that a model learnt to the tree of today: stored answers, and what the model says of a photo.

A stored answer is mapped by what became of its nodes, without its photo. What cannot be mapped so (its node was split,
or is gone) needs the probabilities of all paths again: each counts for the deepest node of today's tree that holds it.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy.sparse import csr_array

from visnet.categorizing.answers import PathAnswer
from visnet.errors import Damaged, NotReady
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.taxonomy.changes import TreeChanges, read_changes, remap
from visnet.taxonomy.paths import levels_of
from visnet.taxonomy.tree import Taxonomy, prefixes

CURE = "run `dvc repro category_paths`"


@dataclass(frozen=True)
class Retelling:
    """The tree that a model learnt, today's, what became of nodes, and how sure, in 0..1, a told level must be."""

    learnt: Taxonomy
    tree: Taxonomy
    changes: TreeChanges
    sure: float

    @classmethod
    def of(
        cls, learnt: Taxonomy, categories: Collection[str], allowed: Sequence[str], file: Path, sure: float
    ) -> "Retelling":
        """Take the allowed paths for today's tree; without any, the crops' categories, once one is not in the model's.

        file: what became of nodes (`read_changes`); it need not be there. So that a category whose last product is
        sold does not change the tree, a tree that has all of today's categories stays. `ValueError` names what is
        wrong in the file, or in the categories.
        """
        tree = learnt
        if allowed:
            tree = Taxonomy.of(allowed)
        elif not learnt.path_numbers.keys() >= {*categories}:
            try:
                tree = Taxonomy.of(categories)
            except ValueError as error:
                raise ValueError(f"the crops' categories: {error}") from None
        return cls(learnt, tree, read_changes(file, learnt, tree) if file.is_file() else TreeChanges({}), sure)

    @classmethod
    def read(cls, file: Path, learnt: Taxonomy, sure: float) -> "Retelling | None":
        """Read what `save` wrote, None where the trees are the same; learnt: the tree of the model.

        `NotReady` where it was written for the tree of another model, `Damaged` where it is not what was written.
        """
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            moves = {str(node): tuple(map(str, to)) for node, to in read["moves"].items()}
            made, of = cls(learnt, Taxonomy.of(read["paths"]), TreeChanges(MappingProxyType(moves)), sure), read["of"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Damaged(f"{file} is damaged: run `dvc repro --force --single-item category_paths`") from None
        if of != learnt.version:
            raise NotReady(f"{file} is of another taxonomy ({of}) than the model ({learnt.version}): {CURE}")
        return made

    def save(self, file: Path) -> None:
        """Write it, or nothing where the trees are the same."""
        if self.same:
            file.unlink(missing_ok=True)
            return
        told = {"of": self.learnt.version, "paths": self.tree.paths, "moves": dict(sorted(self.changes.moves.items()))}
        text = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            atomic.put_text(file, text)

    @property
    def same(self) -> bool:
        """Whether the model's answers stand as they are."""
        return self.tree.version == self.learnt.version and not self.changes.moves

    @property
    def name(self) -> str:
        """Name all that a mapping depends on beside the model; "" where nothing is mapped."""
        return "" if self.same else fingerprint(self.tree.version, sorted(self.changes.moves.items()))

    def stored(self, path: str, probabilities: Sequence[float]) -> PathAnswer | None:
        """Map a path of the model's tree with the probabilities of its levels; None where the photo is needed.

        A level that the model's tree did not have is at least as probable as the one below it, and as what it is said
        to be made of: that is told of it.
        """
        if self.same:
            return self._cut(path, probabilities)
        passed = prefixes(path)
        told = passed[self.told(probabilities) - 1] if self.told(probabilities) else ""
        moved, answer = remap([path, told], self.changes, self.tree)
        if moved is None or answer is None:
            return None
        least: dict[str, float] = {}
        for node, probability in zip(passed, probabilities, strict=True):
            to = None if self.changes.parted(node) else self.changes.moved(node)
            if to is not None:
                least.setdefault(to, probability)
        levels, below = [], probabilities[-1]
        for node in reversed(prefixes(moved)):
            below = max(below, least.get(node, 0.0))
            levels.append(below)
        return self._cut(moved, levels[::-1])

    def predicted(self, probabilities: np.ndarray) -> list[PathAnswer]:
        """Answer in today's tree from probabilities of the model's paths, [B, P]: the likeliest node that holds some.

        "" is the answer where most of it is held by none.
        """
        ends, path_to_end, end_to_node, number = self._held
        mass = np.asarray(np.asarray(probabilities, np.float64) @ path_to_end)
        through = np.minimum(mass @ end_to_node, 1.0)
        found = []
        for row, best in enumerate(mass.argmax(axis=1)):
            levels = through[row, [number[node] for node in prefixes(ends[best])]]
            found.append(self._cut(ends[best], np.minimum.accumulate(levels).tolist()))
        return found

    def told(self, probabilities: Sequence[float]) -> int:
        """Return how many levels, from the first, are sure enough to be told."""
        return next((at for at, one in enumerate(probabilities) if one < self.sure), len(probabilities))

    def _cut(self, path: str, probabilities: Sequence[float]) -> PathAnswer:
        answer = "/".join(path.split("/")[: self.told(probabilities)])
        return PathAnswer(path, tuple(probabilities), answer, self.tree.version)

    @cached_property
    def _held(self) -> tuple[list[str], csr_array, csr_array, dict[str, int]]:
        """Return the E nodes that hold paths, which holds each path, [P, E], and the N nodes on the way, [E, N]."""
        holders = [self.changes.holder(path, self.tree) for path in self.learnt.paths]
        ends = sorted({*holders}, key=lambda end: (not end, levels_of(end)))
        nodes = {node: at for at, node in enumerate(sorted({one for end in ends for one in prefixes(end)}))}
        place = {end: at for at, end in enumerate(ends)}
        path_to_end = _ones(list(enumerate(place[end] for end in holders)), (len(holders), len(ends)))
        passed = [(at, nodes[node]) for end, at in place.items() for node in prefixes(end)]
        return ends, path_to_end, _ones(passed, (len(ends), len(nodes))), nodes


def _ones(pairs: list[tuple[int, int]], shape: tuple[int, int]) -> csr_array:
    """Return a matrix that is 1 at some places and else 0."""
    row, column = np.array(pairs, np.int64).reshape(-1, 2).T
    return csr_array((np.ones(len(pairs)), (row, column)), shape=shape)
