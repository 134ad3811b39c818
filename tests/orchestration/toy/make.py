"""The stages of the toy project: `python make.py STAGE`."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from PIL import Image

STAGE = sys.argv[1]
PARAMS = tomllib.loads(Path("params.toml").read_text())[STAGE]
REPORT = Path("reports", f"{STAGE}.json")


def photos() -> dict[str, object]:
    words = Path(PARAMS["source"]).read_text().split()
    if (late := Path("late.txt")).exists():  # comes in while the stage runs, after it has read
        Path(PARAMS["source"]).write_text(" ".join([*words, *late.read_text().split()]))
        late.unlink()
    sheet = Image.new("RGB", (160 * len(words), 120))
    for number, word in enumerate(words):
        sheet.paste(Image.new("RGB", (150, 110), word), (160 * number + 5, 5))
    sheet.save("reports/photos.png")
    Path("data/photos").write_text("\n".join(words))
    return {"photos": len(words), "lost_share": PARAMS["lost_share"], "lost_share_max": 0.1}


def model() -> dict[str, object]:
    if (kills := Path("kills")).exists() and (
        left := int(kills.read_text())
    ):  # as the kernel does when memory is short
        kills.write_text(str(left - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    if Path(
        "slow"
    ).exists():  # as a training in C++ is deaf to an interrupt, and with a process in a session of its own
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        subprocess.Popen(["sleep", "300"], start_new_session=True)
        Path("under_way.model").touch()
        time.sleep(300)
    if PARAMS["seconds"]:
        child = subprocess.Popen(["sleep", str(PARAMS["seconds"])])  # as a data loader's worker would be
        Path("under_way").write_text(str(child.pid))
        time.sleep(PARAMS["seconds"])
    if PARAMS["learning_rate"] > 1:
        print("error: params.toml: [model] learning_rate: at most 1, please")
        raise SystemExit(2)
    if PARAMS["learning_rate"] < 0:
        raise ValueError("a rate is positive\nand that is all there is to say")
    rows = [f"{epoch},{1 / epoch},{1.2 / epoch}" for epoch in range(1, 6)]
    Path("reports/model.csv").write_text("\n".join(["epoch,train_loss,validation_loss", *rows]) + "\n")
    Path("data/model").write_text(f"{PARAMS['learning_rate']} {Path('data/photos').read_text()}")
    return {"mlflow_url": "http://127.0.0.1:1/#/runs/1", "learnt": True}


def answers() -> dict[str, object]:
    Path("data/answers").write_text(Path("data/model").read_text() * PARAMS["k"])
    return {"recall_at_1": 0.5, "note": "as well as can be"}


if __name__ == "__main__":
    started = time.monotonic()
    report = {"photos": photos, "model": model, "answers": answers}[STAGE]()
    REPORT.write_text(json.dumps({**report, "wall_s": time.monotonic() - started}))
