"""How far a training has come, and which of its epochs is the best."""

from dataclasses import dataclass, field

from visnet.training.task import Monitor


@dataclass
class TrainingState:
    """All that a training counts, and needs to go on.

    batch: the finished batches of the epoch under way. sums: what these add up to, see `Sums`. best: the metrics of
    `best_epoch`; epochs count from 1 there, and it is -1 before the first has ended.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    photos: int = 0
    training_s: float = 0.0
    wall_s: float = 0.0
    best_epoch: int = -1
    best: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    stopped_early: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)

    def end_epoch(self, metrics: dict[str, float], monitor: Monitor | None, *, epochs: int, patience: int) -> bool:
        """Close the epoch under way with its metrics; tell whether it is the best so far.

        The first of equal epochs is the best; without a monitored metric, the last. Training is finished after
        `epochs`, or early after `patience` epochs without a better one (never, where that is 0).
        """
        self.epoch, self.batch = self.epoch + 1, 0
        self.curve.append(metrics)
        best = monitor is None or self.best_epoch < 0 or _better(monitor, metrics, self.best)
        if best:
            self.best_epoch, self.best = self.epoch, metrics
        exhausted = 0 < patience <= self.epoch - self.best_epoch
        self.stopped_early = exhausted and self.epoch < epochs
        self.finished = exhausted or self.epoch >= epochs
        return best


def _better(monitor: Monitor, metrics: dict[str, float], than: dict[str, float]) -> bool:
    now, before = metrics[monitor.metric], than[monitor.metric]
    return now > before if monitor.more_is_better else now < before
