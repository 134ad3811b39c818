"""Compile every tuning entry without a GPU: `python -m kernels.nearest.aot` prints what each costs."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.nearest._triton import scan_kernel
from kernels.nearest.gpu_score import BLOCK_C, BLOCK_D, NUM_WARPS, score_kernel
from kernels.nearest.score import METRICS
from kernels.nearest.tiles import CHUNKED, FEW, INTERPRETER, TILES, Tile, stages

SHARED_LIMIT_BYTES = {80: 99 << 10, 90: 227 << 10, 100: 227 << 10}  # 99: smaller GPUs take the entries for 80 as well
DTYPES = {1: ("i8",), 2: ("bf16", "fp16"), 4: ("fp32",)}
MATRIX = re.compile(r"\b(wgmma\.mma_async|tcgen05\.mma|mma\.sync)\S*?(m\d+n\d+k\d+)?[.\s]")
POINTERS = {
    "threshold_ptr": "fp32", "lift_ptr": "fp32", "inverse_ptr": "fp32", "scale_ptr": "fp32", "bias_ptr": "fp32",
    "length_ptr": "fp32", "error_ptr": "fp32", "ratio_ptr": "fp32", "valid_ptr": "u8", "tiles_ptr": "i32",
    "row_ptr": "i64", "bound_ptr": "fp32", "count_ptr": "i32",
}  # fmt: skip


@dataclass(frozen=True)
class Build:
    """What one tuning entry costs for one type, as the assembler reports it.

    filtered: with a bitset and a list of tiles. stack_bytes: where spilled registers live.
    """

    arch: int
    dtype: str
    most_queries: int
    most_d: int
    filtered: bool
    tile: Tile
    registers: int
    stack_bytes: int
    shared_bytes: int
    matrix: str  # the matrix instruction: "wgmma", "tcgen05", "mma" or "none"
    ptx: str


def builds(filtered: tuple[bool, ...] = (False, True), dtypes: tuple[str, ...] | None = None) -> Iterator[Build]:
    """Compile each tuning entry for each of these types that it serves; RuntimeError under TRITON_INTERPRET=1."""
    if not isinstance(scan_kernel, triton.JITFunction):
        raise RuntimeError(
            "TRITON_INTERPRET=1 is set, so there is no kernel to compile; unset it before triton is imported"
        )
    for key in sorted(TILES):
        for dtype in DTYPES[key[1]] if key[0] != INTERPRETER else ():
            for chosen in filtered if dtypes is None or dtype in dtypes else ():
                yield build(key, dtype, chosen)


def build(key: tuple[int, int, int, int], dtype: str, filtered: bool) -> Build:
    """Compile the most that an entry is asked for: squared distances, D a multiple of its step, aligned tensors.

    Of int8 that is a copy with a scale and an error for each row.
    """
    arch, _, most, most_d = key
    tile, whole = TILES[key], most_d != CHUNKED
    absent = [] if dtype == "i8" else ["scale_ptr", "error_ptr", "ratio_ptr"]
    absent += [] if filtered else ["valid_ptr", "tiles_ptr"]
    constants: dict[str, object] = dict.fromkeys(absent)
    constants |= {"stride_gd": 1, "BLOCK_Q": tile.block_q, "BLOCK_G": tile.block_g, "BLOCK_D": tile.block_d}
    constants |= {"EVEN": True, "WHOLE": whole}
    pointers = {"queries_ptr": dtype, "gallery_ptr": dtype, **POINTERS}
    names = scan_kernel.arg_names
    signature = {name: f"*{pointers[name]}" if name in pointers else "i32" for name in names}
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = [name for name in (*pointers, "D", "stride_q", "stride_g") if name not in constants]
    source = ASTSource(
        fn=scan_kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": tile.num_warps, "num_stages": stages(tile, whole, filtered), "enable_fp_fusion": True}
    kernel = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    usage, ptx = _resource_usage(kernel.asm["cubin"]), kernel.asm["ptx"]
    found = MATRIX.search(ptx)
    matrix = found[1].split(".")[0] if found else "none"
    shared = kernel.metadata.shared
    return Build(arch, dtype, most, most_d, filtered, tile, usage["REG"], usage["STACK"], shared, matrix, ptx)


@dataclass(frozen=True)
class ScoreBuild:
    """What the kernel that scores pairs costs for one type and metric."""

    arch: int
    dtype: str
    metric: str
    registers: int
    stack_bytes: int
    ptx: str


def score_builds() -> Iterator[ScoreBuild]:
    """Compile the kernel that scores pairs for each type and metric: rows whose values lie together, aligned."""
    names = score_kernel.arg_names
    for arch in SHARED_LIMIT_BYTES:
        for dtype in (dtype for dtypes in DTYPES.values() for dtype in dtypes):
            for metric in METRICS:
                constants = {"METRIC": METRICS.index(metric), "BLOCK_C": BLOCK_C, "BLOCK_D": BLOCK_D}
                constants |= {"stride_qd": 1, "stride_gd": 1}
                pointers = {"queries_ptr": dtype, "gallery_ptr": dtype, "row_ptr": "i64"}
                pointers |= {"low_ptr": "fp64", "high_ptr": "fp64"}
                signature = {name: f"*{pointers[name]}" if name in pointers else "i32" for name in names}
                signature |= {"share": "fp32"} | dict.fromkeys(constants, "constexpr")
                source = ASTSource(
                    fn=score_kernel,
                    signature=signature,
                    constexprs={(names.index(name),): value for name, value in constants.items()},
                    attrs={(names.index(n),): [["tt.divisibility", 16]] for n in (*pointers, "stride_q", "stride_g")},
                )
                options = {"num_warps": NUM_WARPS, "enable_fp_fusion": True}
                kernel = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
                usage = _resource_usage(kernel.asm["cubin"])
                yield ScoreBuild(arch, dtype, metric, usage["REG"], usage["STACK"], kernel.asm["ptx"])


def score_problems(build: ScoreBuild) -> list[str]:
    """Say what forbids this build; an empty list is what every one must have."""
    found = [f"spills {build.stack_bytes} bytes"] if build.stack_bytes else []
    # The bound of a score's error counts on float64 rounded to nearest, and on float32's denormals.
    found += [f"has {op}" for op in re.findall(r"\b(?:sqrt|div|rcp)\.\S*f64", build.ptx) if ".rn." not in op]
    found += [f"has {op}" for op in re.findall(r"\bcvt\.\S*ftz\S*", build.ptx)]
    return found


def _resource_usage(cubin: bytes) -> dict[str, int]:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK):(\d+)", text)}


def expected_matrix(build: Build) -> tuple[str, ...]:
    """Name the matrix instructions that may be this entry's: the architecture's own where a tile is large enough."""
    if build.most_queries == FEW or build.arch == 80:
        return ("mma",)
    return ("wgmma",) if build.arch == 90 else ("tcgen05",) if build.dtype != "i8" else ("tcgen05", "mma")


def problems(build: Build) -> list[str]:
    """Say what forbids this entry; an empty list is what every entry must have."""
    tile, limit = build.tile, SHARED_LIMIT_BYTES[build.arch]
    found = []
    if build.stack_bytes:
        found.append(f"spills {build.stack_bytes} bytes")
    if build.shared_bytes * tile.programs > limit:
        found.append(f"needs {tile.programs} x {build.shared_bytes} bytes of shared memory; the limit is {limit}")
    if build.registers * 32 * tile.num_warps * tile.programs > 65536:
        found.append(f"{tile.programs} programs of {build.registers} registers do not fit")
    if build.matrix not in expected_matrix(build):
        found.append(f"multiplies by {build.matrix}; expected: {' or '.join(expected_matrix(build))}")
    if "max.ftz" in build.ptx:  # a key near zero is a denormal, whose last bits are a row's number
        found.append("flushes denormals in max")
    return found


def main() -> int:
    """Print a line for each build; return 1 if any of them has a problem."""
    print(
        "arch   type queries D whole  block q/g/d  filter warps stages programs registers stack shared matrix problems"
    )
    failed = False
    for each in builds():
        tile, wrong = each.tile, problems(each)
        failed |= bool(wrong)
        most = "any" if each.most_queries > 1 << 20 else f"<= {each.most_queries}"
        deep = "no" if each.most_d == CHUNKED else f"<= {each.most_d}"
        block = f"{tile.block_q}/{tile.block_g}/{tile.block_d}"
        print(
            f"sm_{each.arch:<4}{each.dtype:>4} {most:>7} {deep:>7}  {block:<12} {each.filtered!s:>6} "
            f"{tile.num_warps:>5} {tile.num_stages:>6} {tile.programs:>8} {each.registers:>9} {each.stack_bytes:>5} "
            f"{each.shared_bytes:>6} {each.matrix:<6} {'; '.join(wrong) or 'none'}",
            flush=True,
        )
    for scored in score_builds():
        wrong = score_problems(scored)
        failed |= bool(wrong)
        print(
            f"sm_{scored.arch:<4}{scored.dtype:>4} scores of pairs, {scored.metric}: {scored.registers} registers, "
            f"{scored.stack_bytes} bytes of stack, problems: {'; '.join(wrong) or 'none'}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
