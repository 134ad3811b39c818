"""One TOML per model, whose file name is its name; and trained models on disk."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from visnet.losses import LOSSES
from visnet.models import ARCHITECTURES
from visnet.models.pretrained import load_pretrained
from visnet.zoo import strict
from visnet.zoo.records import (
    Architecture,
    Augment,
    Batches,
    Entry,
    Loss,
    Optimizer,
    Rounds,
    Schedule,
)

__all__ = [
    "Architecture",
    "Augment",
    "Batches",
    "Entry",
    "Loss",
    "Optimizer",
    "Rounds",
    "Schedule",
    "build_model",
    "entry",
    "listing",
    "names",
    "parse",
    "trunk",
]

_HERE = Path(__file__).parent
_SIDES = {"batches": Batches, "optimizer": Optimizer, "schedule": Schedule, "augment": Augment, "rounds": Rounds}


def names() -> list[str]:
    """List the models there are, by name."""
    return sorted(path.stem for path in _HERE.glob("*.toml"))


def entry(name: str) -> Entry:
    """Read an entry by its name, or by the path of a TOML of one's own; `ValueError` suggests the nearest names."""
    path = Path(name) if name.endswith(".toml") else _HERE / f"{name}.toml"
    if path.parent == _HERE and path.stem not in names():
        raise ValueError(f"no model is called {name!r}{strict.nearest(name, names())}, or the path of a .toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({type(error).__name__})") from None
    return parse(text, str(path), name=path.stem)


def parse(text: str, where: str, *, name: str = "") -> Entry:
    """Read the TOML of an entry; `name` holds where the text has none. `ValueError` names file, key and cure."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: no TOML: {error}") from None
    if name:
        document.setdefault("name", name)
    parts: dict[str, Any] = {}
    for key in ("architecture", "loss", *_SIDES):
        table = document.get(key)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise ValueError(f"{where}: {key} must be a table, is {table!r}")
        parts[key] = _part(key, table, f"{where}: [{key}]")
    plain = strict.arguments(Entry, {**document, **parts}, where)
    try:
        return Entry(**plain)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def build_model(entry: Entry, *, seed: int) -> nn.Module:
    """Build an entry's network with fresh weights drawn from `seed`, then its pretrained ones if it asks for some."""
    kind = entry.architecture.kind
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = ARCHITECTURES[kind](**entry.architecture.parameters)
        except (ValueError, RuntimeError) as error:  # a size or a chance that torch refuses
            raise ValueError(f"zoo entry {entry.name}: [architecture] ({kind}): {error}") from None
    load_pretrained(model, entry.weights, f"zoo entry {entry.name}")
    return model


def trunk(name: str, weights: str) -> nn.Module:
    """Build an entry's network without its embedding layer: what its (pretrained) trunk sees, unit vectors [B, D]."""
    model = build_model(dataclasses.replace(entry(name), weights=weights), seed=0)
    model.embedding = nn.Identity()
    return model.eval()


def listing() -> str:
    """Tabulate all entries: size, side, embedding's dimensions, loss and batch, and where each is from."""
    rows = [f"{'name':<26}{'parameters':>12}{'side':>6}{'dim':>6}  {'loss':<17}{'batch':<18}source"]
    for name in names():
        one = entry(name)
        with torch.device("meta"):
            model = ARCHITECTURES[one.architecture.kind](**one.architecture.parameters)
        dimensions = getattr(model, "dimensions", 0)
        size = sum(p.numel() for p in model.parameters())
        asked = one.batches
        batch = f"{asked.triplets} triplets" if asked.triplets else f"{asked.products} products × {asked.photos}"
        source = one.source.partition(";")[0]
        rows.append(f"{name:<26}{size:>12,}{one.side_px:>6}{dimensions:>6}  {one.loss.name:<17}{batch:<18}{source}")
    return "\n".join(rows)


def _part(key: str, table: dict[str, Any], where: str) -> object:
    if key == "architecture":
        kind, parameters = _chosen("kind", table, ARCHITECTURES, where)
        return Architecture(kind=kind, parameters=parameters)
    if key == "loss":
        name, parameters = _chosen("name", table, LOSSES, where)
        return Loss(name=name, parameters=parameters)
    return strict.call(_SIDES[key], table, where)


def _chosen(key: str, table: dict[str, Any], choices: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    if key not in table:
        raise ValueError(f"{where}: lacks {key!r}; allowed are {', '.join(choices)}")
    chosen = table[key]
    if not isinstance(chosen, str) or chosen not in choices:
        raise ValueError(f"{where}: {key} {chosen!r} is unknown{strict.nearest(str(chosen), choices)}")
    others = {name: value for name, value in table.items() if name != key}
    return chosen, strict.arguments(choices[chosen], others, f"{where} ({chosen})")
