"""The files of a trained localizer."""

from pathlib import Path

FILES = TENSORS, SETTINGS = "localizer.safetensors", "localizer.toml"


def is_trained(folder: Path) -> bool:
    """Tell whether a folder holds a localizer; that of a stage that is switched off holds none."""
    return (folder / SETTINGS).is_file()
