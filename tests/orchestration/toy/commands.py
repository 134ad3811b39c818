"""Becomes the toy's visnet/__main__.py, for what DVC does not run: `python -m visnet feed NAME…`, `compact` …"""

import json
import os
import signal
import sys
import time
from pathlib import Path

REPORTS = Path("reports")


def feed(*names: str) -> None:
    if (refused := Path("refused")).exists():
        print(f"visnet feed: {refused.read_text()}")
        raise SystemExit(2)
    if (killed := Path("killed")).exists():
        killed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    counts = [{"batch": name, "records": len(Path("inbox", name).read_text().splitlines())} for name in names]
    dead = [{"batch": name, "line": 1, "reason": "no product_id", "text": "{}"} for name in names]
    report = {"batches": len(names), "by_batch": counts, "dead_letters": dead}
    (REPORTS / "feed.json").write_text(json.dumps(report))


def compact() -> None:
    photos = Path("data/photos")
    photos.write_text(photos.read_text().replace("\n", "  "))  # other bytes, the same words
    (REPORTS / "compaction.json").write_text(json.dumps({"bytes_before": 9, "bytes_after": 5}))


def other(*words: str) -> None:
    """Do nothing, as an experiment or a rollback that is not waited for."""


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if Path("slow").exists():
        Path(f"under_way.{command}").touch()
        time.sleep(300)
    {"feed": feed, "compact": compact}.get(command, other)(*words)
