"""What a shell and a file system do to a command: one line with the path, exit 2; silence for a pipe nobody reads."""

import ctypes
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import refreshing, workspace
from tests.apart import Work
from visnet import __main__ as visnet
from visnet.pipeline import os_faults

DROPPED = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: without them root is refused like anybody
CAPABILITIES_3 = 0x20080522


def like_anybody() -> None:
    """Have this thread, and those that it starts, go without root's rights (capget(2))."""
    libc, header, sets = (
        ctypes.CDLL(None, use_errno=True),
        (ctypes.c_uint32 * 2)(CAPABILITIES_3),
        (ctypes.c_uint32 * 6)(),
    )
    assert libc.capget(header, sets) == 0
    sets[0] &= ~sum(1 << capability for capability in DROPPED)  # of those in effect
    assert libc.capset(header, sets) == 0


def refused(folder: Path, *words: str) -> str:
    """Run a command without root's rights; it must exit with 2 and say why in one line, which is returned."""
    done = Work(folder, words, fault=like_anybody).end()
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("visnet ")]
    assert "Traceback" not in done.stderr
    return said


Here = Callable[..., str]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process; return why it was refused, "" if it was not."""

    def run(folder: Path, *words: str) -> str:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["visnet", *words])
        capsys.readouterr()
        before = signal.getsignal(signal.SIGTERM)
        code = visnet.main()
        signal.signal(signal.SIGTERM, before)
        said = capsys.readouterr().err
        assert code == (2 if said else 0)
        return said

    return run


def without(right: int, *paths: str) -> Callable[[Path], None]:
    def change(shop: Path) -> None:
        for path in paths:
            for one in [shop / path, *(shop / path).rglob("*")]:
                one.chmod(one.stat().st_mode & ~right)

    return change


WRITE, READ = 0o222, 0o444
FAULTS = {
    "the data folder is read-only": (without(WRITE, "data"), ["run", "crops"], "data"),
    "a table is read-only": (without(WRITE, "data/crops"), ["run", "crops"], "data/crops"),
    "a table is unreadable": (without(READ, "data/raw_images"), ["run", "crops"], "data/raw_images"),
    "the reports are read-only": (without(WRITE, "reports"), ["run", "crops"], "reports"),
    "the parameters are unreadable": (without(READ, "params.toml"), ["run", "crops"], "params.toml"),
    "the photo is unreadable": (without(READ, "images"), ["similar", "images/p000-0-0.png"], "images/p000-0-0.png"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_permitted_is_named_with_its_cure(fault: str, shop: Path) -> None:
    change, words, named = FAULTS[fault]
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("side_px = 32", "side_px = 40"))
    change(shop)
    said = refused(shop, *words)
    assert "ermission denied; change its owner or rights" in said
    assert named in said
    subprocess.run(["chmod", "-R", "u+rwX", str(shop)], check=True)  # the cure
    if fault == "a table is read-only":
        assert workspace.visnet(shop, *words).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["similar", "images/p000-0-0.png", "--out", "missing/x.png"], "there is no folder missing; create it"),
        (["similar", "images/p000-0-0.png", "--out", "images"], "no picture's name"),
        (["similar", "images"], "images: is a folder; name a photo in it"),
        (["triplets-view", "--write", "missing/x.png"], "there is no folder missing; create it"),
        (["emit-feed", "stock.csv/feed", "--hours", "1"], "stock.csv"),
    ],
)
def test_where_something_is_to_go_is_looked_at_first(words: list[str], said: str, published: Path, here: Here) -> None:
    assert said in here(published, *words)


def test_a_pipe_that_nobody_reads_ends_the_command_silently(published: Path) -> None:
    for words in (["versions"], ["summary"]):
        line = f"{sys.executable} -m visnet {' '.join(words)} | true"
        done = subprocess.run(
            ["bash", "-c", line], cwd=published, env=workspace.environment(), capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr


def test_a_terminal_that_cannot_show_a_name_costs_nothing(published: Path) -> None:
    env = {**workspace.environment(), "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    photo = shutil.copy(published / "images/p000-0-0.png", published.parent / "größe 漢 ?.png")
    done = subprocess.run(
        [sys.executable, "-m", "visnet", "similar", str(photo), "--out", str(published.parent / "ö.png")],
        cwd=published, env=env, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (published.parent / "ö.png").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "", "/a/b"), "/a/b: No space left on device; make room"),
        (OSError(24, "", "/a"), "/a: Too many open files; raise the limit"),
        (OSError("LanceError(IO): Permission denied (os error 13) at path \"/a b/c\", x.rs"), "/a b/c: Permission"),
        (ValueError("Unable to open file /a b/c: No such file or directory (os error 2), x.rs"), "/a b/c: No such"),
        (ValueError("LanceError(IO): Not found: /a/c, /x.rs"), "is damaged (LanceError(IO): Not found: /a/c)"),
    ],
)  # fmt: skip
def test_the_path_is_found_wherever_a_library_puts_it(error: Exception, said: str) -> None:
    assert said in (os_faults.explained(error) or "")


def test_a_fault_of_ours_stays_a_traceback() -> None:
    assert os_faults.explained(OSError("something of ours")) is None


@pytest.mark.parametrize("junk", ["", "{", "[]", "7", '{"photos": 3}'])
def test_junk_in_a_report_names_the_report_and_its_cure(junk: str, shop: Path, here: Here) -> None:
    (shop / "reports/raw_images.json").write_text(junk)
    said = here(shop, "summary")
    assert "reports/raw_images.json" in said
    assert "`git checkout reports/raw_images.json`" in said
    refreshing.refresh(shop, "raw_images")  # as `dvc repro --force --single-item raw_images` does
    assert here(shop, "summary") == ""


@pytest.mark.parametrize(
    "words",
    [["summary"], ["versions"], ["serve"], ["leaderboard"], ["events"], ["verify"], ["triplets-view"], ["compact"]],
    ids=" ".join,
)
def test_in_a_folder_that_is_none_it_says_so_and_leaves_nothing(words: list[str], tmp_path: Path, here: Here) -> None:
    said = here(tmp_path, *words)
    assert said.strip().endswith(f"; {tmp_path} has no dvc.yaml: if the catalog is elsewhere, run this there"), said
    assert not list(tmp_path.iterdir())
    (tmp_path / "dvc.yaml").touch()
    assert "has no dvc.yaml" not in here(tmp_path, *words)
