"""What a program of the project finds around it, why it failed, and whether another try may mend that."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

TRACEBACK = "Traceback (most recent call last):"
USERS = 2  # the exit code of what only the user can mend; it is said in one line


def environment(run_id: str) -> dict[str, str]:
    """Return what a program of the project finds in its environment: this Python's programs, and the run it is of."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": programs, "PYTHONUNBUFFERED": "1", "DAGSTER_RUN_ID": run_id}


def mendable(code: int, said: Sequence[str]) -> bool:
    """Whether trying again may help after `dvc repro` ended with `code`: its stage broke, or a process was killed.

    What a stage refuses (it exits with 2) and what DVC itself refuses will be refused again.
    """
    own = [int(match[1]) for line in said if (match := re.match(r"ERROR: .*, exited with (-?\d+)$", line))]
    return code < 0 or (bool(own) and own[-1] != USERS)


def reason_of(said: Sequence[str]) -> str:
    """Return the line that says why a stage failed: its own, rather than DVC's word that it failed."""
    own = [line for line in said if not line.startswith(("ERROR: failed to reproduce", "ERROR: failed to run"))]
    if TRACEBACK in own:  # the exception stands after the frames, which are indented; its text may have many lines
        after = own[len(own) - own[::-1].index(TRACEBACK) :]
        own = [line for line in after if not line.startswith(" ")][:1] or own
    return (own or said or ["it said nothing"])[-1].removeprefix("ERROR: ")
