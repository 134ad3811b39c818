"""What torchrun says of the processes that it has started for one training, on one host or several."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """This process's place among those of all hosts: process `rank` of `ranks`, `per_host` on each of `hosts`.

    The process of rank 0 has the work and leaves its traces; the others help it to train.
    """

    rank: int
    ranks: int
    per_host: int
    hosts: int
    restarts: int = 0

    @classmethod
    def found(cls, environ: Mapping[str, str] = os.environ) -> "Launch | None":
        """Read what torchrun has set in the environment; None where it has not started this process.

        A rank alone is none of its: other launchers set that, too.
        """
        if "TORCHELASTIC_RUN_ID" not in environ:
            return None
        names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "TORCHELASTIC_MAX_RESTARTS")
        return cls(*(int(environ.get(name, "0" if name == names[-1] else "1")) for name in names))

    def check(self, devices: int) -> None:
        """Refuse what cannot train together with a `ValueError`: as many processes are wanted as there are devices."""
        started = f"torchrun has started {self.ranks} {'process' if self.ranks == 1 else 'processes'}"
        if self.restarts:
            raise ValueError(f"--max-restarts {self.restarts}: allowed is 0; launched again, a training goes on")
        if self.ranks != self.per_host * self.hosts:
            raise ValueError(
                f"{started} on {self.hosts} hosts, {self.per_host} of them on this one; "
                "--nproc-per-node must be the same on all"
            )
        if devices != self.ranks:
            raise ValueError(
                f"devices = {devices}, and {started} on {self.hosts} {'host' if self.hosts == 1 else 'hosts'}; "
                f"set devices = {self.ranks}, which counts those of all hosts, or launch {devices}"
            )
