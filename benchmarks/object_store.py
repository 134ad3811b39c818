"""Small upserts to a Lance table in an object store: what a commit takes, thousand by thousand, and what is stored.

    PYTHONPATH=. python benchmarks/object_store.py

Starts the S3 server that the tests have (SeaweedFS, on loopback). Each commit is one row: a vector of 512 numbers, and
the key, every other of a row that is there already. Every 250 commits the table is compacted under its lease, by the
process that writes; that is timed apart, and what it keeps for readers (versions younger than a minute) is counted in
the size on the way. A commit's CPU seconds are those of the process that writes: what else runs on the machine changes
them less than it does the wall's. Live bytes are those of a new table of the same rows, written at once.

`--push 20000` instead measures `dvc push` of photos as shards, beside as many files.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.object_store import ObjectStore as Server
from visnet.storage import compaction, shared_compaction
from visnet.storage.table import Table

WIDTH = 512
KINDS = pa.list_(pa.float32(), WIDTH)
PHOTO_BYTES = 2_800  # dvc #7607: 600,000 files of 1.7 GB


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--commits", type=int, default=5000)
    asked.add_argument("--every", type=int, default=250, help="commits between compactions; 0 for none but the last")
    asked.add_argument("--push", type=int, default=0, help="photos that are pushed by DVC, instead")
    asked.add_argument("--out", type=Path, help="a JSON file for the figures")
    words = asked.parse_args()
    server = Server()
    try:
        os.environ.update(server.environment)
        url = f"s3://{server.bucket()}"
        figures = pushed(words.push, url) if words.push else upserts(words.commits, words.every, url)
    finally:
        server.remove()
    if words.out:
        words.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def row(rng: np.random.Generator, key: str) -> pa.Table:
    vector = pa.FixedSizeListArray.from_arrays(rng.standard_normal(WIDTH, np.float32), WIDTH)
    digest = rng.bytes(16).hex()
    columns = {"id": pa.array([key]), "source": pa.array([digest]), "content": pa.array([digest]), "vector": vector}
    return pa.table(columns)


def upserts(commits: int, every: int, url: str) -> dict[str, object]:
    rng, table = np.random.default_rng(0), Table(f"{url}/benchmark/rows.lance", "id")
    took_ms: list[float] = []
    cpu_ms: list[float] = []
    compacted_s: list[float] = []
    thousands, keys, largest = [], 0, 0
    for commit in range(commits):
        replaced = [f"k{rng.integers(keys):06d}"] if commit % 2 and keys else []
        key = replaced[0] if replaced else f"k{keys:06d}"
        keys += not replaced
        rows = row(rng, key)
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        table.put(rows, replaced)
        took_ms.append(1000 * (time.perf_counter() - begun_s))
        cpu_ms.append(1000 * (time.process_time() - cpu_s))
        if every and (commit + 1) % every == 0:
            begun_s = time.perf_counter()
            largest = max(largest, compaction.size(table).bytes)
            shared_compaction.compact(table, kept_s=60)
            compacted_s.append(time.perf_counter() - begun_s)
        if (commit + 1) % 1000 == 0:
            now = compaction.size(table)
            figures = {"commits": commit + 1, **quantiles(took_ms[-1000:], ""), **quantiles(cpu_ms[-1000:], "cpu_")}
            figures |= {"versions": now.versions, "files": now.files}
            thousands.append(figures | {"megabytes": round(now.bytes / 1e6, 2)})
            print(thousands[-1], flush=True)
    content = (table.count(), table.digest())
    before = compaction.size(table)
    shared_compaction.compact(table, kept_s=0)
    after = compaction.size(table)
    assert (table.count(), table.digest()) == content == (keys, content[1])
    fresh = Table(f"{url}/benchmark/fresh.lance", "id")
    fresh.put(table.read(table.columns))
    live = compaction.size(fresh).bytes
    done = {
        "thousands": thousands,
        "compactions": len(compacted_s),
        "compaction_s_median": round(statistics.median(compacted_s), 3) if compacted_s else None,
        "rows": keys,
        "megabytes_largest": round(largest / 1e6, 2),
        "megabytes_before": round(before.bytes / 1e6, 2),
        "megabytes_after": round(after.bytes / 1e6, 3),
        "megabytes_live": round(live / 1e6, 3),
        "ratio": round(after.bytes / live, 4),
        "files_after": after.files,
        "versions_after": after.versions,
    }
    print({name: value for name, value in done.items() if name != "thousands"})
    return done


def quantiles(took_ms: list[float], of: str) -> dict[str, float]:
    return {f"{of}p{share}_ms": round(float(np.percentile(took_ms, share)), 1) for share in (50, 99)}


def pushed(photos: int, url: str) -> dict[str, object]:
    """Push photos as one table's shards, and as files, to a folder and to the store; print seconds of each."""
    figures: dict[str, object] = {"photos": photos}
    rng = np.random.default_rng(0)
    for form in ("shards", "files"):
        with tempfile.TemporaryDirectory(prefix="visnet-push-") as name:
            folder = Path(name)
            dvc(folder, "init", "--no-scm", "-q")
            data = folder / "photos"
            if form == "shards":
                bodies = pa.array([rng.bytes(PHOTO_BYTES) for _ in range(photos)], pa.large_binary())
                ids = pa.array([f"{number:07d}" for number in range(photos)])
                Table(data / "photos.lance", "photo_id").put(pa.table({"photo_id": ids, "image": bodies}))
            else:
                data.mkdir()
                for number in range(photos):
                    (data / f"{number:07d}.jpg").write_bytes(rng.bytes(PHOTO_BYTES))
            figures[f"{form}_add_s"] = dvc(folder, "add", "-q", "photos")
            for where, remote in {"folder": str(folder / "remote"), "s3": f"{url}/{form}"}.items():
                dvc(folder, "remote", "add", "-q", where, remote)
                figures[f"{form}_push_{where}_s"] = dvc(folder, "push", "-q", "-r", where)
            shutil.rmtree(folder / "remote")
    print(figures)
    return figures


def dvc(folder: Path, *words: str) -> float:
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return round(time.perf_counter() - begun_s, 2)


if __name__ == "__main__":
    main()
