"""Compile every tuning entry without a GPU: `python -m kernels.nearest.aot` prints what each costs."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.nearest._triton import nearest_scan_kernel
from kernels.nearest.tiles import INTERPRETER, TILES, Tile

SHARED_LIMIT_BYTES = {80: 163 << 10, 90: 227 << 10}
OLD_SHARED_LIMIT_BYTES = 99 << 10  # of the smaller GPUs, which take the entries for 80 as well
DTYPES = {2: ("fp16", "bf16"), 4: ("fp32",)}


@dataclass(frozen=True)
class Build:
    """What one tuning entry costs for one dtype, as the assembler reports it."""

    arch: int
    dtype: str
    kept: int
    tile: Tile
    registers: int
    stack_bytes: int  # spilled registers live here
    shared_bytes: int
    tensor_core: str  # the widest matrix instruction used: "wgmma", "mma" or "none"


def builds(dtypes: Collection[str] = ("fp16", "bf16", "fp32")) -> Iterator[Build]:
    """Compile each tuning entry for each of these dtypes that it serves; RuntimeError under TRITON_INTERPRET=1."""
    if not isinstance(nearest_scan_kernel, triton.JITFunction):
        raise RuntimeError(
            "TRITON_INTERPRET=1 is set, so there is no kernel to compile; unset it before triton is imported"
        )
    for (arch, item_bytes, kept), tile in sorted(TILES.items()):
        if arch != INTERPRETER:
            yield from (_build(arch, dtype, kept, tile) for dtype in DTYPES[item_bytes] if dtype in dtypes)


def _build(arch: int, dtype: str, kept: int, tile: Tile) -> Build:
    """Compile as a launch with contiguous rows, D a multiple of 16 and aligned tensors would."""
    constants = {"stride_qd": 1, "stride_gd": 1, "K": kept}
    constants |= {"BLOCK_Q": tile.block_q, "BLOCK_G": tile.block_g, "BLOCK_D": tile.block_d}
    pointers = {
        "queries_ptr": dtype,
        "gallery_ptr": dtype,
        "gallery_sq_ptr": "fp32",
        "after_ptr": "i64",
        "keys_ptr": "i64",
    }
    names = nearest_scan_kernel.arg_names
    signature = {
        name: "constexpr" if name in constants else f"*{pointers[name]}" if name in pointers else "i32"
        for name in names
    }
    aligned = [name for name in names if name in (*pointers, "D", "stride_q", "stride_g")]
    source = ASTSource(
        fn=nearest_scan_kernel,
        signature=signature,
        constexprs=constants,
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": tile.num_warps, "num_stages": tile.num_stages, "enable_fp_fusion": True}
    kernel = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    usage = _resource_usage(kernel.asm["cubin"])
    ptx = kernel.asm["ptx"]
    tensor_core = next((name for name in ("wgmma", "mma") if f"{name}." in ptx), "none")
    return Build(arch, dtype, kept, tile, usage["REG"], usage["STACK"], kernel.metadata.shared, tensor_core)


def _resource_usage(cubin: bytes) -> dict[str, int]:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK):(\d+)", text)}


def problems(build: Build) -> list[str]:
    """Say what forbids this entry; an empty list is what every entry must have."""
    limit = SHARED_LIMIT_BYTES[build.arch] if build.arch != 80 else OLD_SHARED_LIMIT_BYTES
    found = []
    if build.stack_bytes:
        found.append(f"spills {build.stack_bytes} bytes")
    if build.shared_bytes > limit:
        found.append(f"needs {build.shared_bytes} bytes of shared memory; the limit is {limit}")
    return found


def main() -> int:
    """Print a line for each build; return 1 if any of them has a problem."""
    print("arch  dtype  kept  block q/g/d   warps stages  registers  stack  shared  matrix  problems")
    failed = False
    for build in builds():
        tile, wrong = build.tile, problems(build)
        failed |= bool(wrong)
        print(
            f"sm_{build.arch} {build.dtype:>5} {build.kept:>5}"
            f"  {f'{tile.block_q}/{tile.block_g}/{tile.block_d}':<12} {tile.num_warps:>6} {tile.num_stages:>6}"
            f" {build.registers:>10} {build.stack_bytes:>6} {build.shared_bytes:>7}"
            f"  {build.tensor_core:<6}  {'; '.join(wrong) or 'none'}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
