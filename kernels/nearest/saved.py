"""A gallery in a folder, as the scan on a CPU reads it: mapped into memory, so that processes share what they hold.

Codes carry the bounds that an answer is proven by. So they are used by the sources that made them alone: a folder of
other sources is refused, and whoever has the vectors makes a new one.
"""

import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kernels.nearest.codes import Coding, RowCodes
from kernels.nearest.prepared import Prepared

FILE = "gallery.json"
SOURCES = ("codes.py", "encode.py", "saved.py", "scale.py")  # what codes mean


def save(prepared: Prepared, folder: Path) -> None:
    """Write a gallery that `cpu.prepare` made, but for its sample, into an empty folder."""
    coding, codes = prepared.coding, prepared.codes
    parts = {"vectors": prepared.vectors, "sq_norms": prepared.sq_norms}
    if coding is not None and codes is not None:
        parts |= {"centre": coding.centre, "codes": codes.codes, "terms": codes.terms}
    there = {name: part.contiguous() for name, part in parts.items() if part is not None}
    for name, part in there.items():
        np.save(folder / f"{name}.npy", _as_numpy(part), allow_pickle=False)
    described = {
        "made_by": made_by(),
        "metric": prepared.metric,
        "offset": None if coding is None else coding.offset,
        "parts": {name: str(part.dtype).removeprefix("torch.") for name, part in there.items()},
    }
    (folder / FILE).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def opened(folder: Path) -> Prepared:
    """Map a gallery that was saved; ValueError in a line where it cannot be used, OSError where it cannot be read."""
    try:
        described = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if described["made_by"] == made_by():
            parts = {name: _mapped(folder / f"{name}.npy", kind) for name, kind in described["parts"].items()}
            return _assembled(described["metric"], described["offset"], parts)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"{folder}: damaged ({type(error).__name__}: {error}); make it again") from error
    raise ValueError(f"{folder}: made by other sources; make it again")


def _assembled(metric: str, offset: float | None, parts: dict[str, Tensor]) -> Prepared:
    vectors, codes = parts["vectors"], parts.get("codes")
    if codes is None or offset is None:
        return Prepared(vectors, metric, None)
    coding = Coding(metric, codes.dtype, parts["centre"], float(offset))
    like, rows = coding.empty(0), RowCodes(coding, codes, parts.get("terms"))
    shapes = {"codes": (len(vectors), coding.width), "centre": vectors.shape[1:], "sq_norms": (len(vectors),)}
    if like.terms is not None:
        shapes["terms"] = (len(vectors), 4)
    for name, shape in shapes.items():
        if parts[name].shape != shape:
            raise ValueError(f"{name} is {tuple(parts[name].shape)}, not {tuple(shape)}")
    return Prepared(vectors, metric, coding, rows, sq_norms=parts["sq_norms"])


@functools.cache
def made_by() -> str:
    """Name what codes mean here, by the sources: 32 hex digits."""
    whole = hashlib.sha256()
    for name in SOURCES:
        whole.update(Path(__file__).with_name(name).read_bytes())
    return whole.hexdigest()[:32]


def _as_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _mapped(path: Path, kind: str) -> Tensor:
    """Map a file privately, so that torch may take it; nobody writes to it. The disk begins to read all of it."""
    try:
        if hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except ValueError:  # nothing can be mapped where there is nothing
        array = np.load(path, allow_pickle=False)
        if array.size:
            raise
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor
