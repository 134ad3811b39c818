"""visnet.sources.changefeed: what a small file unpacks to is not taken into memory."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.workspace import ROOT, environment

FOLD = """
import json, resource, sys
from pathlib import Path

from visnet.sources.changefeed.state import fold
from visnet.storage.table import Table

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

inbox, state = map(Path, sys.argv[1:])
fold(state, "*.none", state / "empty")  # what the libraries take
before_mb = peak_mb()
counts = fold(inbox, "*", state)
letters = Table(state / "dead_letters.lance").read(["batch", "reason"]).to_pylist()
reasons = {letter["batch"]: letter["reason"] for letter in letters}
print(json.dumps({"mb": peak_mb() - before_mb, "counts": counts, "reasons": reasons}))
"""


def coded(text: str, count: int) -> pa.DictionaryArray:
    """A text that stands once in a file, and counts as often as one likes."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def write(path: Path, photos: pa.Array, **more: pa.Array) -> None:
    count = len(photos)
    columns = {"product_id": coded("p", count), "op": coded("upsert", count), "category": coded("hat", count)}
    columns |= {"seq": pa.array(np.ones(count, np.int64)), "photos": photos, **more}
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=100_000)
    assert path.stat().st_size < 100_000


def test_small_files_that_unpack_to_much_stay_small(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    equal, many = 60_000, 2_000_000
    write(inbox / "equal.parquet", coded("a.jpg", equal), title=coded("x" * 10_000, equal))
    write(inbox / "long.parquet", coded("a.jpg", 1_000), html=coded("x" * 20_000_000, 1_000))
    write(inbox / "list.parquet", pa.ListArray.from_arrays([0, many], coded("a.jpg", many).cast(pa.string())))
    (inbox / "line.jsonl.gz").write_bytes(gzip.compress(b" " * 3_000_000 + b"x\n", 1))
    (inbox / "bomb.jsonl.gz").write_bytes(gzip.compress(b"x\n" * 40_000_000, 1))
    (inbox / "quotes.csv").write_text("product_id,op,seq\n" + 'x","y\n' * 100_000)
    (inbox / "deep.jsonl").write_text("[" * 1_000_000 + "\n" + '{"a":' * 100_000 + "\n" + "9" * 1_000_000 + "\n")
    command = [sys.executable, "-c", FOLD, str(inbox), str(tmp_path / "state")]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mb"] < 200, "before, the first of these files alone took a gigabyte"
    assert (found["counts"]["records"], found["counts"]["repeated"]) == (equal, equal - 1)
    assert found["reasons"] == {
        "long.parquet": "a record of over 4 MiB",
        "list.parquet": "a record of over 4 MiB",
        "line.jsonl.gz": "a line of over 1048576 characters",
        "bomb.jsonl.gz": "unpacks to more than 200 times its size",
        "quotes.csv": "a quote is opened and not closed in 1000 lines",
        "deep.jsonl": "not JSON",
    }
