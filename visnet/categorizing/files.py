"""The files of trained models of category paths; imports nothing that takes time."""

from pathlib import Path

SETTINGS, TAXONOMY = "models.toml", "taxonomy.json"


def tensors(head: str) -> str:
    """Name the file of a network's tensors."""
    return f"{head}.safetensors"


def is_trained(folder: Path) -> bool:
    """Tell whether the stage was switched on when it made this folder."""
    return (folder / SETTINGS).is_file()
