"""Where a stage's rows are made: in its own process, or by the nodes of a Ray cluster, with equal results."""

from typing import Literal

Engine = Literal["local", "ray"]
