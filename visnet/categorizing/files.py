"""The files of trained models of category paths; imports nothing that takes time."""

import tomllib
from pathlib import Path
from typing import Literal

from visnet.errors import Damaged

SETTINGS, TAXONOMY = "models.toml", "taxonomy.json"
VALIDATION = "validation.csv"  # the crops that the models were chosen by, and learnt from at last only
ALLOWED, CHANGES = Path("taxonomy.txt"), Path("taxonomy_changes.csv")  # which a person writes, in the workspace
AGAIN = "again"  # the network of the chosen model that has learnt from all photos
TOGETHER: Literal["together"] = "together"  # the model of both, which answers
Head = Literal["attention", "leaves", "levels"]
Model = Head | Literal["together"]
TODAY = "today.json"  # what became of the tree that the model learnt, where anything did
TOLD_CATEGORIES = "told_categories.lance"  # of products that the source gives none


def tensors(network: str) -> str:
    """Name the file of a network's tensors."""
    return f"{network}.safetensors"


def answering(folder: Path) -> tuple[str, ...]:
    """Name the files that answers need: the settings, the taxonomy, and the tensors of the networks that answer."""
    try:
        told = tomllib.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        networks = (told["chosen"], *([AGAIN] if TOGETHER in told["temperatures"] else []))
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise Damaged(f"{folder / SETTINGS}: says not which model answers ({error})") from None
    return SETTINGS, TAXONOMY, *map(tensors, networks)


def is_trained(folder: Path) -> bool:
    """Tell whether the stage was switched on when it made this folder."""
    return (folder / SETTINGS).is_file()
