"""The compiled scan as a library: built at first use, kept in a cache, loaded once a process."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernels.nearest.native.variants import Variant, chosen

CACHE = "NEAREST_CACHE"  # the environment variable that says where libraries are kept
SOURCES = (
    "search.c", "keep.c", "encode.c", "scan.c", "bounds.c", "settle.c", "hopeful.c", "score.c", "order.c", "pairs.c",
)  # fmt: skip
HEADERS = ("nearest.h", "hopeful.h", "tiles.h", "vectors.h", "doubles.h")
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-fwrapv", "-fno-math-errno", "-Wno-psabi")
HERE = Path(__file__).parent
COMPILE_S = 120.0

log = logging.getLogger("kernels.nearest")


def library() -> ctypes.CDLL | None:
    """Return the library of the variant that is chosen, None where there is none; why not is logged once."""
    return _library(os.environ.get("NEAREST_NATIVE", ""))


def running() -> str:
    """Name the variant that scans on this CPU, "torch" where nothing is compiled."""
    variant = chosen()
    return "torch" if variant is None or library() is None else variant.name


@functools.cache
def _library(asked: str) -> ctypes.CDLL | None:
    variant = chosen()
    if variant is None:
        return None
    try:
        return declared(ctypes.CDLL(str(built(variant))))
    except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:  # also: no home, no file locks
        said = getattr(error, "stderr", "") or str(error)
        log.warning("the scan is not compiled, so torch does it, slower: %s", str(said).strip().splitlines()[0])
        return None


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Say what the functions take and return, as the sources have it."""
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    for name, returned, taken in (
        ("search_lanes", whole, ()),
        ("search_encode", whole, (pointer,)),
        ("search_free_queries", None, (pointer,)),
        ("search_new", pointer, (pointer, pointer)),
        ("search_free", None, (pointer,)),
        ("search_scan", whole, (pointer, pointer, *[whole] * 5)),
        ("search_settle", whole, (*[pointer] * 3, whole, whole, pointer, pointer, whole)),
        ("search_patch", None, (pointer, pointer, ctypes.c_float)),
        ("search_order", whole, (pointer, pointer, whole, whole, *[pointer] * 3)),
        ("search_answer", whole, (*[pointer] * 4, whole, whole, *[pointer] * 3)),
        ("search_pairs", whole, (pointer, whole, whole, pointer, whole, *[pointer] * 3, whole)),
        ("score_pairs", whole, (pointer, pointer, whole, pointer, pointer, *[whole] * 3, pointer, pointer)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = returned, taken
    return library


def built(variant: Variant, folder: Path | None = None) -> Path:
    """Return the path of a variant's library, compiled if it is not there.

    Of several processes one compiles, and the others wait for it; a library appears under its name when it is whole.
    Where there is no compiler, or nothing can be written, one of the same sources and flags does that another machine
    compiled (`ahead.py`); where there is none either, OSError, and SubprocessError where the compiler fails.
    """
    folder = cache() if folder is None else folder
    try:
        return _compiled(variant, folder)
    except OSError:
        if brought := sorted(folder.glob(f"{_stem(variant)}-*.so")):
            return brought[0]
        raise


def _compiled(variant: Variant, folder: Path) -> Path:
    path = path_of(variant, folder)
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{path.name}.lock"):
        if not path.is_file():
            with tempfile.TemporaryDirectory(dir=folder) as making:
                made = Path(making) / path.name
                sources = (str(HERE / name) for name in SOURCES)
                subprocess.run(
                    [*_command(variant), *sources, "-lm", "-o", str(made)],
                    check=True, capture_output=True, text=True, timeout=COMPILE_S,
                )  # fmt: skip
                made.chmod(0o755)
                made.replace(path)
    return path


def path_of(variant: Variant, folder: Path) -> Path:
    """Name a variant's library by what it depends on: sources, compiler, flags, and the kind of machine."""
    command = _command(variant)
    version = subprocess.run(
        [command[0], "--version"], check=True, capture_output=True, text=True, timeout=COMPILE_S
    ).stdout
    compiler = hashlib.sha256(f"{command[0]}\0{version}".encode()).hexdigest()[:8]
    return folder / f"{_stem(variant)}-{compiler}.so"


def _stem(variant: Variant) -> str:
    """Name what is compiled, by whatever compiler."""
    digest = hashlib.sha256("\0".join((platform.machine(), platform.system(), *FLAGS, *variant.flags)).encode())
    for name in (*SOURCES, *HEADERS):
        digest.update((HERE / name).read_bytes())
    return f"nearest-{variant.name}-{digest.hexdigest()[:16]}"


def cache() -> Path:
    """Return the folder in which libraries are kept."""
    if given := os.environ.get(CACHE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kernels.nearest"


def _command(variant: Variant) -> tuple[str, ...]:
    """Find the C compiler, as Triton does: CC, or what the system has."""
    names = (os.environ["CC"],) if os.environ.get("CC") else ("cc", "gcc", "clang")
    for name in names:
        if found := shutil.which(name):
            return (found, *FLAGS, *variant.flags)
    raise FileNotFoundError(f"no C compiler is found (looked for: {', '.join(names)})")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl  # absent on Windows, where there is no scan either

    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
