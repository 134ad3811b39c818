"""Every entry of the zoo, from its file and its network."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import torch

from reference.markdown import code, table, text
from visnet import zoo
from visnet.models import ARCHITECTURES

INTRODUCTION = """# Zoo

Each entry is a file of `visnet/zoo`, whose name is its name; `python -m visnet zoo` lists them. `[trained_model]
config` of [params.toml](parameters.md) names one, or the path of a file of your own. "none" of weights is a network
that begins with random ones, "package" one whose pretrained weights an installed package brings, and others are
downloaded when they are first wanted. Sides are those of the photo that the network sees. What an entry's tables do
not say has its default.
"""
HEADS = ("entry", "architecture", "parameters", "side, px", "dimensions", "weights", "loss", "batch")


def page() -> str:
    """Return the page of entries: all in one table, then each with what it is from and where it departs from that."""
    found = [zoo.entry(name) for name in zoo.names()]
    rows = [_row(entry) for entry in found]
    return "\n".join([INTRODUCTION, table(HEADS, rows), *(_told(entry) for entry in found)])


def _row(entry: zoo.Entry) -> tuple[str, ...]:
    with torch.device("meta"):
        model = ARCHITECTURES[entry.architecture.kind](**entry.architecture.parameters)
    size = sum(parameter.numel() for parameter in model.parameters())
    asked = entry.batches
    batch = f"{asked.triplets} triplets" if asked.triplets else f"{asked.products} products × {asked.photos}"
    link, dimensions = f"[{entry.name}](#{entry.name.replace('_', '-')})", getattr(model, "dimensions", 0)
    kind = code(entry.architecture.parameters.get("network", entry.architecture.kind))
    return link, kind, f"{size:,}", str(entry.side_px), f"{dimensions:,}", code(entry.weights), entry.loss.name, batch


def _told(entry: zoo.Entry) -> str:
    rows = []
    for part in fields(entry):
        value = getattr(entry, part.name)
        if part.name in ("architecture", "loss"):
            head = {"kind": value.kind} if part.name == "architecture" else {"name": value.name}
            rows.append((code(f"[{part.name}]"), _settings({**head, **value.parameters})))
        elif is_dataclass(value):
            given = {
                one.name: getattr(value, one.name) for one in fields(value) if getattr(value, one.name) != one.default
            }
            rows += [(code(f"[{part.name}]"), _settings(given))] if given else []
        elif part.name not in ("name", "source", "departs"):
            rows.append((code(part.name), code(json.dumps(value))))
    departs = "".join(f"* {text(one)}\n" for one in entry.departs)
    parts = [f"({entry.name.replace('_', '-')})=", f"## {entry.name}\n", f"From: {text(entry.source)}.\n"]
    return "\n".join([*parts, f"Departs from it:\n\n{departs}" if departs else "", table(("table", "settings"), rows)])


def _settings(values: Mapping[str, object]) -> str:
    return ", ".join(code(f"{name} = {json.dumps(value)}") for name, value in values.items())
