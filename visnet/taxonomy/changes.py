"""A tree that changed: where stored answers stand now, without a photo being looked at again.

A file says what became of the old tree's nodes, one a row: a node moves with everything below it, two nodes that move
to one are merged, and one that moves to several is split. All rows apply at once, from the old tree to the new one, and
of rows for a node and for one above it the deeper decides; a swap is therefore two rows. A row whose `from` the old
tree lacks and whose `to` it has tells of a change before it, and is passed over.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from visnet.taxonomy.texts import read_utf8
from visnet.taxonomy.tree import Taxonomy, prefixes

HEADER = ["from", "to"]


@dataclass(frozen=True)
class TreeChanges:
    """What became of nodes: the new nodes' texts by the old one's; a node that has several was split."""

    moves: Mapping[str, tuple[str, ...]]

    def moved(self, node: str) -> str | None:
        """Return where an old node, or what is below one, stands by the rows; itself without one, None of a split."""
        for above in reversed(prefixes(node)):
            if above in self.moves:
                first, *others = self.moves[above]
                return None if others else first + node[len(above) :]
        return node

    def parted(self, node: str) -> bool:
        """Tell whether something below an old node moved to where the node itself did not."""
        here = self.moved(node)
        below = (to for old, to in self.moves.items() if old.startswith(f"{node}/"))
        return any(here not in prefixes(one) for to in below for one in to)

    def holder(self, node: str, new: Taxonomy) -> str:
        """Return the deepest node of the new tree that holds all of an old node; "" where none does.

        That is where it stands by the rows, or the nearest above that which the new tree has; of a split, what holds
        all its parts.
        """
        above = next((one for one in reversed(prefixes(node)) if one in self.moves), None)
        parts = [prefixes(f"{to}{node[len(above) :]}") for to in self.moves[above]] if above else [prefixes(node)]
        shared = set(parts[0]).intersection(*parts[1:])
        return max((one for one in shared if one in new.node_numbers), key=len, default="")


def read_changes(file: Path, old: Taxonomy, new: Taxonomy) -> TreeChanges:
    """Read a CSV file with the header `from,to`: texts of nodes of the old tree and of the new one.

    `ValueError` names file and line of a `from` that the old tree lacks and whose `to` it lacks, too, a `to` that the
    new tree lacks, a row that is there twice, and a node that is moved below itself, which is a cycle; a split may keep
    a node above its parts.
    """
    lines: dict[tuple[str, str], int] = {}
    for line, (source, target) in _rows(file):
        where = f"{file}: line {line}"
        if source and source not in old.node_numbers and target in old.node_numbers:
            continue
        if source not in old.node_numbers:
            raise ValueError(f"{where}: from: {source!r} is no node of the old tree {old.version}")
        if target not in new.node_numbers:
            raise ValueError(f"{where}: to: {target!r} leads to no path of the new tree {new.version}")
        if (source, target) in lines:
            raise ValueError(f"{where}: the row is on line {lines[source, target]} already")
        lines[source, target] = line
    moves: dict[str, tuple[str, ...]] = {}
    for source, target in lines:
        moves[source] = (*moves.get(source, ()), target)
    for source, targets in moves.items():
        if len(targets) == 1 and targets[0].startswith(f"{source}/"):
            where = f"{file}: line {lines[source, targets[0]]}"
            raise ValueError(f"{where}: {source!r} is moved below itself, to {targets[0]!r}: a cycle")
    return TreeChanges(MappingProxyType(moves))


def remap(answers: Sequence[str], changes: TreeChanges, new: Taxonomy) -> list[str | None]:
    """Return the text of each stored answer in the new tree; None where the photo must be predicted anew.

    answers: texts of paths or inner nodes of the old tree; "" is no answer and stays so. Anew is what was split, what
    is gone without a row, and an inner node from below which something moved elsewhere: its photos may show that.
    """
    known: dict[str, str | None] = {"": ""}
    for answer in answers:
        if answer not in known:
            to = None if changes.parted(answer) else changes.moved(answer)
            known[answer] = to if to in new.node_numbers else None
    return [known[answer] for answer in answers]


def _rows(file: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the rows below the header, each with the line at which it ends."""
    text = read_utf8(file, "a CSV file with the header from,to is wanted")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if header != HEADER:
            raise ValueError(f"{file}: line 1: the header from,to is wanted, not {','.join(header)!r:.60}")
        for cells in reader:
            if len(cells) < 2 and not "".join(cells).strip():  # an empty line
                continue
            if len(cells) != 2:
                raise ValueError(f"{file}: line {reader.line_num}: {len(cells)} columns; from and to are wanted")
            yield reader.line_num, (cells[0].strip(), cells[1].strip())
    except csv.Error as error:
        raise ValueError(f"{file}: line {reader.line_num}: {error}") from None
