"""The inbox and the command `feed`: new batches come whole, once, and what is not there changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.workspace import ROOT, environment
from visnet.errors import Conflict
from visnet.pipeline import stage as stages
from visnet.sources.changefeed.inbox import bring
from visnet.storage import locks

LINE = '{"product_id": "%s", "op": "delete", "seq": 1}\n'
SUMS = ("batches", "new", "records", "upserts", "deletes", "dead")


@pytest.fixture(params=["folder", "memory", "s3"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of batches: a folder, one that fsspec alone can reach, and a folder of a bucket."""
    url = str(tmp_path / "their") if request.param == "folder" else f"memory://{tmp_path.name}/their"
    if request.param == "s3":
        url = f"s3://{request.getfixturevalue('s3').bucket()}/their"
    system, root = fsspec.core.url_to_fs(url)
    system.makedirs(root)
    yield url
    if system.exists(root):
        system.rm(root, recursive=True)


def put(source: str, name: str, text: str) -> None:
    system, root = fsspec.core.url_to_fs(f"{source}/{name}")
    system.makedirs(root.rpartition("/")[0], exist_ok=True)
    with system.open(root, "w") as file:
        file.write(text)


def counts(report: dict[str, object]) -> tuple[object, ...]:
    return tuple(report[name] for name in SUMS)


def test_new_and_changed_batches_come_and_the_others_stay(source: str, tmp_path: Path) -> None:
    inbox = tmp_path / "in" / "box"
    put(source, "1.jsonl", LINE % "a" + "broken\n")
    put(source, "2.jsonl", LINE % "b")
    put(source, "notes.txt", "not asked for")
    put(source, ".3.jsonl", "on its way")
    report = bring(source, "*.jsonl", inbox)
    assert counts(report) == (2, 2, 2, 0, 2, 1)
    assert report["dead_letters"] == [{"batch": "1.jsonl", "line": 2, "reason": "not JSON", "text": "broken"}]
    assert report["by_batch"][0] == {"batch": "1.jsonl", "records": 1, "upserts": 0, "deletes": 1, "dead": 1}
    assert {path.name for path in inbox.iterdir()} == {"1.jsonl", "2.jsonl"}
    times = {path.name: path.stat().st_mtime_ns for path in inbox.iterdir()}
    assert counts(bring(source, "*.jsonl", inbox)) == (2, 0, 0, 0, 0, 0)
    assert counts(bring(source, "*.jsonl", inbox, ["2.jsonl"])) == (2, 1, 1, 0, 1, 0)
    assert {path.name: path.stat().st_mtime_ns for path in inbox.iterdir()} == times, "the same bytes are left alone"
    put(source, "1.jsonl", LINE % "longer")
    put(source, "4.jsonl", LINE % "d")
    assert counts(bring(source, "*.jsonl", inbox)) == (3, 2, 2, 0, 2, 0)
    assert (inbox / "1.jsonl").read_text() == LINE % "longer"


def test_the_parts_of_a_folder_come_as_batches(source: str, tmp_path: Path) -> None:
    put(source, "day.jsonl/part-0.jsonl", LINE % "a")
    put(source, "day.jsonl/_temporary/part-1.jsonl", LINE % "b")
    put(source, "done/old.jsonl", LINE % "c")
    assert counts(bring(source, "*", tmp_path / "box")) == (1, 1, 1, 0, 1, 0)
    assert (tmp_path / "box" / "day.jsonl" / "part-0.jsonl").read_text() == LINE % "a"


def test_what_left_the_source_stays_and_what_left_the_inbox_comes_again(source: str, tmp_path: Path) -> None:
    inbox = tmp_path / "box"
    put(source, "1.jsonl", LINE % "a")
    put(source, "2.jsonl", LINE % "b")
    bring(source, "*", inbox)
    system, root = fsspec.core.url_to_fs(source)
    system.rm(f"{root}/1.jsonl")
    (inbox / "2.jsonl").unlink()
    assert counts(bring(source, "*", inbox))[:2] == (2, 1)


def test_a_source_that_vanished_is_said_in_one_line_and_changes_nothing(source: str, tmp_path: Path) -> None:
    inbox = tmp_path / "box"
    put(source, "1.jsonl", LINE % "a")
    bring(source, "*", inbox)
    with pytest.raises(ValueError, match=r"no batch is called 9.jsonl; there are 1.jsonl$"):
        bring(source, "*", inbox, ["9.jsonl"])
    system, root = fsspec.core.url_to_fs(source)
    gone = root.partition("/")[0] if source.startswith("s3:") else root  # SeaweedFS keeps empty folders for a while
    system.rm(gone, recursive=True)
    with pytest.raises(ValueError, match=rf"from: {source}: no such folder$"):
        bring(source, "*", inbox)
    assert [path.name for path in inbox.iterdir()] == ["1.jsonl"]


def test_an_unknown_kind_of_address_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from: nowhere://x: Protocol not known") as caught:
        bring("nowhere://x", "*", tmp_path / "box")
    assert "\n" not in str(caught.value)


def test_batches_that_others_put_there_are_read_once(tmp_path: Path) -> None:
    inbox = tmp_path / "box"
    inbox.mkdir()
    (inbox / "1.jsonl").write_text(LINE % "a")
    assert counts(bring("", "*", inbox)) == (1, 1, 1, 0, 1, 0)
    assert counts(bring("", "*", inbox)) == (1, 0, 0, 0, 0, 0)
    assert counts(bring("", "*", inbox, ["1.jsonl"])) == (1, 1, 1, 0, 1, 0)


@pytest.mark.parametrize("junk", [b"", b"[1]", b"{\xff"])
def test_notes_that_are_broken_can_be_removed(tmp_path: Path, junk: bytes) -> None:
    put(str(tmp_path / "their"), "1.jsonl", LINE % "a")
    bring(str(tmp_path / "their"), "*", tmp_path / "box")
    notes = tmp_path / "box.arriving" / "arrived.json"
    notes.write_bytes(junk)
    with pytest.raises(ValueError, match=r"arrived.json: not what was written there; remove it"):
        bring(str(tmp_path / "their"), "*", tmp_path / "box")
    notes.unlink()
    assert counts(bring(str(tmp_path / "their"), "*", tmp_path / "box"))[:3] == (1, 1, 1)


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        ({"pattern": "../*"}, "feed.pattern: a pattern of file names inside the folder is wanted"),
        ({"pattern": ""}, "feed.pattern: a pattern of file names inside"),
        ({"clock_skew_max_s": -1.0}, "feed.clock_skew_max_s: "),
        ({"clock_skew_max_s": float("nan")}, "feed.clock_skew_max_s: "),
        ({"seq_max": 2**63}, "feed.seq_max: "),
    ],
)
def test_parameters_of_a_feed_have_bounds(feed: dict[str, object], said: str) -> None:
    table = {"source": "feed", "metadata": "inbox", "feed": feed}
    with pytest.raises(ValueError, match=rf"^params.toml: \[raw_images\] {said}"):
        stages.parse("raw_images", table, "params.toml")


def test_only_one_process_brings_batches(tmp_path: Path) -> None:
    inbox = tmp_path / "box"
    bring("", "*", inbox)
    with locks.held(tmp_path / "box.arriving"), pytest.raises(Conflict, match="in use"):
        bring("", "*", inbox)


def test_a_killed_bringing_leaves_whole_batches_and_goes_on(tmp_path: Path) -> None:
    their, inbox = tmp_path / "their", tmp_path / "box"
    their.mkdir()
    whole = "".join(LINE % i for i in range(5_000))
    for number in range(200):
        (their / f"{number:03d}.jsonl").write_text(whole)
    code = "import sys, pathlib; from visnet.sources.changefeed import inbox; "
    code += "inbox.bring(sys.argv[1], '*', pathlib.Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, str(their), str(inbox)], cwd=ROOT, env=environment())
    deadline_s = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline_s and not (inbox / "020.jsonl").exists():
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "the kill came too late: nothing was tested"
    came = sorted(inbox.iterdir())
    assert len(came) < 200
    assert all(path.read_text() == whole for path in came)
    for number in range(30, 200):
        (their / f"{number:03d}.jsonl").write_text(LINE % "a")  # less to read, for the test's sake
    assert bring(str(their), "*", inbox)["batches"] == 200
    assert all(path.read_bytes() == (their / path.name).read_bytes() for path in inbox.iterdir())
    assert json.loads((tmp_path / "box.arriving" / "arrived.json").read_text()).keys() == set(os.listdir(their))


def test_the_command_writes_a_report_and_refuses_another_source(tmp_path: Path) -> None:
    (tmp_path / "their").mkdir()
    (tmp_path / "their" / "1.jsonl").write_text(LINE % "a")

    def feed(source: str) -> subprocess.CompletedProcess[str]:
        params = f'[raw_images]\nsource = "{source}"\nmetadata = "inbox"\n[raw_images.feed]\nfrom = "their"\n'
        (tmp_path / "params.toml").write_text(params)
        command = [sys.executable, "-m", "visnet", "feed"]
        paths = {**environment(), "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=120)

    done = feed("feed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Feed       inbox: 1 batches; 1 new, 1 records, 0 upserts, 1 deletes, 0 dead\n")
    assert counts(json.loads((tmp_path / "reports" / "feed.json").read_text())) == (1, 1, 1, 0, 1, 0)
    done = feed("table")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
