"""Commands in a limited time: one that hangs or fails costs the others nothing but its own share."""

import sys
import time

from benchmarks.timetable import Part, Ran, run


def python(name: str, code: str, limit_s: float = 30.0) -> Part:
    return Part(name, (sys.executable, "-u", "-c", code), limit_s)


def ran(*parts: Part, budget_s: float = 60.0, grace_s: float = 1.0) -> tuple[list[Ran], list[str]]:
    said: list[str] = []
    return list(run(parts, budget_s, said.append, {"GIVEN": "yes"}, grace_s)), said


def test_each_part_has_its_turn_and_what_it_printed_is_kept() -> None:
    done, said = ran(
        python("first", "import os; print('a', os.environ['GIVEN'])"),
        python("second", "import sys; print('b', file=sys.stderr); sys.exit(3)"),
        python("third", "print('c')"),
    )
    assert [(one.name, one.status, one.output) for one in done] == [
        ("first", "passed", ("a yes",)),
        ("second", "failed", ("b",)),
        ("third", "passed", ("c",)),
    ]
    assert [line for line in said if not line.startswith("==")] == ["a yes", "b", "c"]


def test_a_part_out_of_time_is_interrupted_and_keeps_what_it_has() -> None:
    code = "import time\ntry:\n    print('begun')\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('kept')"
    done, _ = ran(python("slow", code, limit_s=6.0), python("next", "print('here')"), grace_s=10.0)
    assert [(one.status, one.output) for one in done] == [
        ("out of time", ("begun", "kept")),
        ("passed", ("here",)),
    ]


def test_one_that_heeds_no_interrupt_is_killed_with_its_children() -> None:
    child = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    deaf = python("deaf", f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {code}", limit_s=6.0)
    begun = time.monotonic()
    done, _ = ran(deaf)
    assert (done[0].status, done[0].output) == ("out of time", ("deaf",))
    assert time.monotonic() - begun < 45  # else the child held the output open for its minute


def test_what_is_left_of_the_budget_is_the_limit_and_at_last_nothing_begins() -> None:
    done, _ = ran(python("all of it", "import time; time.sleep(60)"), python("late", "print(1)"), budget_s=6.0)
    assert [one.status for one in done] == ["out of time", "not begun"]
    assert 5.0 < done[0].took_s < 20.0
