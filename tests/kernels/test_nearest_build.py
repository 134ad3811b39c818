"""How the compiled scan comes to be: one library for all processes, and torch where there is none."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from kernels.nearest import Gallery, nearest
from kernels.nearest.native import ahead, build, variants
from tests.kernels.native import COMPILER, RUNNING, forced

ROOT = Path(__file__).parents[2]
CROSS = "aarch64-linux-gnu-gcc"
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")


@pytest.fixture
def anew(tmp_path, monkeypatch):
    """A cache with nothing in it, and a process that has loaded nothing."""
    monkeypatch.setenv(build.CACHE, str(tmp_path / "cache"))
    build._library.cache_clear()
    yield tmp_path / "cache"
    build._library.cache_clear()


@pytest.fixture
def quickly(monkeypatch):
    """A compiler that optimizes nothing, where it does not matter how fast the library is."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O0"))


def answers() -> bool:
    gallery = torch.eye(40)
    return nearest(gallery, Gallery(gallery), 1, backend="auto").row[:, 0].tolist() == list(range(40))


@needs_compiler
def test_it_is_compiled_once_and_then_found(anew, quickly):
    assert build.library() is not None
    made = sorted(path for path in anew.iterdir() if path.suffix == ".so")
    assert len(made) == 1
    assert made[0].stat().st_mode & 0o555 == 0o555  # other users load it too
    written = made[0].stat().st_mtime_ns
    build._library.cache_clear()
    assert build.library() is not None
    assert made[0].stat().st_mtime_ns == written
    assert answers()


@needs_compiler
def test_processes_that_begin_together_compile_it_once(anew):
    code = "from kernels.nearest.native import build; build.FLAGS += ('-O0',); assert build.library() is not None"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ) for _ in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    assert sorted(path.suffix for path in anew.iterdir()) == [".lock", ".so"]


@needs_compiler
def test_what_a_library_depends_on_is_in_its_name(anew, monkeypatch, tmp_path):
    variant = variants.VARIANTS[-1]
    names = {build.path_of(variant, anew), build.path_of(variants.VARIANTS[0], anew)}
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O1"))
    names.add(build.path_of(variant, anew))
    for name in (*build.SOURCES, *build.HEADERS):
        (tmp_path / name).write_bytes((build.HERE / name).read_bytes() + b"/* */\n" * (name == "tiles.h"))
    monkeypatch.setattr(build, "HERE", tmp_path)
    names.add(build.path_of(variant, anew))
    other = tmp_path / "othercc"
    other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo another && exit\nexec {COMPILER} "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("CC", str(other))
    names.add(build.path_of(variant, anew))
    assert len(names) == 5


def without_a_home(path: type[Path]) -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    "trouble", ["no compiler", "a compiler that fails", "a cache that cannot be written", "no home"]
)
def test_without_a_library_torch_answers_and_one_line_says_why(trouble, anew, monkeypatch, caplog, tmp_path):
    if trouble == "no compiler":
        monkeypatch.setenv("CC", "no-such-compiler")
        said = "no C compiler is found (looked for: no-such-compiler)"
    elif trouble == "a compiler that fails":
        broken = tmp_path / "cc"
        broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit\necho scan.c: it is broken >&2\nexit 1\n')
        broken.chmod(0o755)
        monkeypatch.setenv("CC", str(broken))
        said = "scan.c: it is broken"
    elif trouble == "no home":
        monkeypatch.delenv(build.CACHE)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", classmethod(without_a_home))
        said = "Could not determine home directory"
    else:
        anew.write_text("a file where the folder should be")
        monkeypatch.setenv("CC", COMPILER or "cc")
        said = "File exists" if COMPILER else "no C compiler"
    with caplog.at_level(logging.WARNING, logger="kernels.nearest"):
        assert answers()
        assert answers()
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("the scan is not compiled, so torch does it, slower: ")
    assert said in caplog.text
    if trouble != "a cache that cannot be written":
        assert not list(anew.glob("*.so"))


@pytest.fixture(scope="module")
def compiled_ahead(tmp_path_factory):
    """A folder with every variant, and the lines that the command printed which was asked for them.

    Of what these sources are compiled to here anyhow it finds all but one, since each costs three seconds.
    """
    folder = tmp_path_factory.mktemp("ahead")
    for library in [build.built(variant) for variant in ahead.suitable()][:-1]:
        shutil.copy2(library, folder)
    made = subprocess.run(
        [sys.executable, "-m", "kernels.nearest.native.ahead", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return folder, made.stdout.splitlines()


@needs_compiler
@pytest.mark.parametrize("why", ["no compiler", "another compiler, and a folder that cannot be written"])
def test_what_was_compiled_ahead_is_taken_where_nothing_can_be_compiled(
    why, anew, compiled_ahead, monkeypatch, tmp_path
):
    folder, lines = compiled_ahead
    shutil.copytree(folder, anew)
    ran = [variant.name for variant in ahead.suitable()]
    assert [Path(line).name.split("-")[1] for line in lines] == ran
    assert [Path(line) for line in lines if not (anew / Path(line).name).is_file()] == []
    assert variants.chosen().name in ran
    if why == "no compiler":
        monkeypatch.setenv("CC", "no-such-compiler")
    else:
        other = tmp_path / "othercc"
        other.write_text("#!/bin/sh\n[ $1 = --version ] && echo another && exit\nexit 1\n")
        other.chmod(0o755)
        monkeypatch.setenv("CC", str(other))
        monkeypatch.setattr(build, "_locked", refuses)
    assert build.built(variants.chosen()) in anew.iterdir()
    assert build.running() == variants.chosen().name
    assert answers()
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O1"))  # of other sources or flags none is taken
    with pytest.raises(OSError, match="no C compiler" if why == "no compiler" else "Read-only"):
        build.built(variants.chosen())


def refuses(path: Path) -> None:
    raise OSError(errno.EROFS, "Read-only file system", str(path))


def test_a_variant_that_is_not_there_is_refused_by_name(anew):
    with (
        forced("avx1024"),
        pytest.raises(ValueError, match=r"^NEAREST_NATIVE is 'avx1024'; this processor runs: .*none$"),
    ):
        build.library()
    with forced("none"):
        assert build.library() is None
        assert answers()


@needs_compiler
@pytest.mark.skipif(variants.platform.machine() != "x86_64", reason="these flags are for x86")
@pytest.mark.parametrize("name", [v.name for v in variants.VARIANTS if v.name not in (*RUNNING, "neon")])
def test_variants_that_do_not_run_here_compile(name, compiled_ahead):
    folder, _ = compiled_ahead
    (library,) = folder.glob(f"nearest-{name}-*.so")
    assert library.stat().st_size > 0


@pytest.mark.skipif(not shutil.which(CROSS), reason=f"no {CROSS} here: apt-get install gcc-aarch64-linux-gnu")
def test_the_variant_of_arm_compiles_where_a_cross_compiler_is(anew, monkeypatch):
    monkeypatch.setenv("CC", CROSS)
    neon = next(variant for variant in variants.VARIANTS if variant.name == "neon")
    assert build.built(neon).read_bytes()[18:20] == b"\xb7\0", "the machine of an ELF file: AArch64"


@needs_compiler
def test_threads_that_begin_together_load_one_library(anew, quickly):
    found = []
    threads = [threading.Thread(target=lambda: found.append(build.library())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert None not in found


def test_the_sources_are_all_there_and_go_with_the_package():
    inside = {path.name for path in build.HERE.iterdir() if path.suffix in (".c", ".h")}
    assert inside == {*build.SOURCES, *build.HEADERS}
