"""Blocks of rows made by the nodes of a Ray cluster, and given back in order."""

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from visnet.engines.cluster import imported, original, portable

ROW, FAILED = "row", "failed"
BLOCK_BYTES = 64 << 20  # at which Ray divides what a step has made
WAITING = 2  # blocks that a process has: the one it works on, and the next
Work = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class BlockStep:
    """One step of the work on a block: what makes the function of a process, and what the process takes.

    load: called once in each process of the step; it travels by pickle. processes: how many stay until all is done,
    each with `cpus` CPUs and `gpus` GPUs; None for any that are free, where `load` costs nothing. rows: of a call of
    the function, None for a whole block.
    """

    load: Callable[[], Work]
    cpus: int = 1
    gpus: int = 0
    processes: int | None = None
    rows: int | None = None


def divided(table: pa.Table, rows: int) -> list[pa.Table]:
    """Number the rows of a table in a column `row`, and divide it into blocks of so many; the last has what is left."""
    numbered = table.append_column(ROW, pa.array(np.arange(table.num_rows)))
    return [numbered.slice(start, rows) for start in range(0, table.num_rows, rows)]


def mapped(blocks: Sequence[pa.Table], steps: Sequence[BlockStep]) -> Iterator[pa.Table]:
    """Yield what the steps make of the blocks of `divided`, row for row and in their order, in parts of any size.

    A cluster must be connected. A step gives as many rows as it takes, with their `row`. What a lost node had made is
    made again, by Ray. Whatever a step raises is raised here.
    """
    ray = imported()
    from ray.exceptions import RayTaskError

    following, count = 0, sum(block.num_rows for block in blocks)
    if not count:
        return
    with _settings(ray):
        # `from_arrow` would have every block counted by a task, in processes that import Ray Data for it alone.
        dataset = ray.data.from_blocks(list(blocks))
        for step in steps:
            dataset = _mapped(ray, dataset, step, len(blocks))
        made = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
        try:
            for part in made:
                if FAILED in part.column_names:
                    raise pickle.loads(part[FAILED].drop_null()[0].as_py())
                numbers = part[ROW].to_numpy()
                if not np.array_equal(numbers, following + np.arange(len(numbers))):
                    raise RuntimeError(f"Ray gave other rows than row {following} and those after it")
                following += len(numbers)
                yield part
        except RayTaskError as error:
            raise original(error) from None
    if following != count:
        raise RuntimeError(f"Ray gave {following} rows of {count}")


def _mapped(ray: Any, dataset: Any, step: BlockStep, blocks: int) -> Any:
    placed: dict[str, Any] = {"num_cpus": step.cpus, "batch_size": step.rows, "batch_format": "pyarrow"}
    if step.gpus:
        placed["num_gpus"] = step.gpus
    if step.processes is None:
        return dataset.map_batches(_once, fn_args=(step.load,), **placed)
    pool = ray.data.ActorPoolStrategy(size=min(step.processes, blocks), max_tasks_in_flight_per_actor=WAITING)
    return dataset.map_batches(_Loaded, fn_constructor_args=(step.load,), compute=pool, **placed)


class _Loaded:
    """The function of a process that stays; what went wrong when it was loaded, is said by the first block."""

    def __init__(self, load: Callable[[], Work]) -> None:
        self._work: Work
        try:
            self._work = load()
        except Exception as error:
            failed = _failed(error)
            self._work = lambda block: failed

    def __call__(self, block: pa.Table) -> pa.Table:
        return _once(block, lambda: self._work)


def _once(block: pa.Table, load: Callable[[], Work]) -> pa.Table:
    if FAILED in block.column_names:
        return block
    try:
        return load()(block)
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> pa.Table:
    """Return an error as a block: it is no row, and Ray would add words of its own to one that is raised."""
    return pa.table({FAILED: pa.array([pickle.dumps(portable(error))], pa.binary())})


@contextlib.contextmanager
def _settings(ray: Any) -> Iterator[None]:
    """Have Ray Data keep the order, say nothing, and raise what was raised."""
    before = ray.data.DataContext.get_current()
    ours = before.copy()
    ours.enable_progress_bars = ours.print_on_execution_start = ours.enable_auto_log_stats = False
    ours.raise_original_map_exception = ours.execution_options.preserve_order = True
    ours.target_max_block_size = BLOCK_BYTES
    ray.data.DataContext._set_current(ours)
    try:
        yield
    finally:
        ray.data.DataContext._set_current(before)
