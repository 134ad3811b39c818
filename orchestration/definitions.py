"""Where Dagster starts: everything in defs/."""

from functools import cache
from pathlib import Path

from dagster import Definitions, definitions, load_from_defs_folder


@definitions
@cache  # a run asks for them seven times
def defs() -> Definitions:
    """Load the assets, checks, jobs, schedules, sensors and resources of the project in the current directory."""
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
