"""What a peer is: another search, and what is to be known of it before it is run."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Search = Callable[[Tensor, int], Any]  # queries [Q, D] and k give rows [Q, k], a tensor or an array

OPENBLAS_SPINS_S = 0.2  # seen: 0.12; without a rest `nearest` took five times its time after numpy on two cores
METRICS = ("sq_euclidean", "inner_product", "cosine")


class AbsentError(Exception):
    """This peer cannot be had here, or not for such vectors; the message says why."""


@dataclass(frozen=True)
class Peer:
    """Another search: its name, the metrics it knows, and how its index over gallery vectors is built.

    module: imported before the clock of `build` starts. most_k: beyond it the peer is not run, for the reason given.
    rest_s: for so long its threads spin after a call, which would slow whoever comes next; so long both sides rest.
    exact: whether it answers exactly; of one that does not, what it shares with our answer is its recall.
    """

    name: str
    metrics: tuple[str, ...]
    build: Callable[[Tensor, str], Search]
    module: str = "torch"
    most_k: int | None = None
    why_most_k: str = ""
    rest_s: float = 0.0
    exact: bool = True


def load(module: str) -> Any:
    """Import a peer's module; AbsentError where it is not installed, or installed and broken."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise AbsentError("not installed") from error
        raise AbsentError(f"cannot be imported: {error}") from error
    except (ImportError, OSError) as error:
        raise AbsentError(f"cannot be imported: {str(error).splitlines()[0]}") from error
