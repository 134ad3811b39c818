"""What a program of the project finds around it, why it failed, and whether another try may mend that."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

TRACEBACK = "Traceback (most recent call last):"
# Lines that are never the reason: DVC's steps, its word that a command failed, and whatever is a warning.
NOISE = (
    *("ERROR: failed to reproduce", "ERROR: failed to run", "WARNING", "Having any troubles?", "Running stage '"),
    *("> ", "Updating lock file", "Generating lock file", "Use `dvc push`", "To track the changes", "Stage '"),
)
USERS = 2  # the exit code of what only the user can mend; it is said in one line


def environment(run_id: str) -> dict[str, str]:
    """Return what a program of the project finds in its environment: this Python's programs, and the run it is of."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": programs, "PYTHONUNBUFFERED": "1", "DAGSTER_RUN_ID": run_id}


def mendable(code: int, lines: Sequence[str]) -> bool:
    """Whether trying again may help after `dvc repro` ended with `code`: its stage broke, or a process was killed.

    What a stage refuses (it exits with 2) and what DVC itself refuses will be refused again.
    """
    own = _stages_code(lines)
    return code < 0 or (own is not None and own != USERS)


def reason_of(lines: Sequence[str], code: int) -> str:
    """Return why a program failed that ended with `code`: its stage's own word, rather than DVC's that it failed.

    Who is killed has no last word: whatever it wrote before is not the reason.
    """
    own = _stages_code(lines)
    if (sign := _killed(code) or _killed(own or 0)) is not None:
        return f"killed by {sign.name}" + (
            ", as the system does when memory is short" if sign is signal.SIGKILL else ""
        )
    own_lines = [line for line in lines if not line.startswith(NOISE)]
    if TRACEBACK in own_lines:  # the exception stands after the frames, which are indented; its text may be long
        after = own_lines[len(own_lines) - own_lines[::-1].index(TRACEBACK) :]
        own_lines = [line for line in after if not line.startswith(" ")][:1] or own_lines
    last = (own_lines or [line for line in lines if line.startswith("ERROR")] or lines or ["it wrote nothing"])[-1]
    return re.sub(r"^ERROR: (failed to reproduce '[^']*': )?", "", last)


def _stages_code(lines: Sequence[str]) -> int | None:
    """Return the exit code of the stage that DVC ran, where DVC names one."""
    codes = [int(match[1]) for line in lines if (match := re.match(r"ERROR: .*, exited with (-?\d+)$", line))]
    return codes[-1] if codes else None


def _killed(code: int) -> signal.Signals | None:
    """Return the signal that an exit code stands for: Python's -9, a shell's 137."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number) if number in signal.valid_signals() else None
