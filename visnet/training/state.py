"""How far a training has come, and which of its epochs is the best."""

from dataclasses import dataclass, field

from visnet.training.task import Monitor


@dataclass
class TrainingState:
    """All that a training counts, and needs to go on.

    batch: the finished batches of the epoch under way. sums: what these add up to, see `Sums`. best: the metrics of
    `best_epoch`, whose weights are kept; peak: those of the epoch that measured best. Epochs count from 1 there, and
    are -1 before the first has ended.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    photos: int = 0
    training_s: float = 0.0
    wall_s: float = 0.0
    best_epoch: int = -1
    best: dict[str, float] = field(default_factory=dict)
    peak_epoch: int = -1
    peak: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    stopped_early: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)

    def end_epoch(self, metrics: dict[str, float], monitor: Monitor | None, *, epochs: int, patience: int) -> bool:
        """Close the epoch under way with its metrics; tell whether its weights are to be kept as the best so far.

        The first of equal epochs is the best; without a monitored metric, the last. Where the metric has a standard
        error, it is the last epoch within one of the best measured: what a small validation cannot tell apart has
        learnt for longer, at a rate that falls. Training is finished after `epochs`, or early after `patience` epochs
        without one that measures better (never, where that is 0).
        """
        self.epoch, self.batch = self.epoch + 1, 0
        self.curve.append(metrics)
        if monitor is None or self.peak_epoch < 0 or monitor.gain(metrics, self.peak) > 0.0:
            self.peak_epoch, self.peak = self.epoch, metrics
        best = self.peak_epoch == self.epoch
        if monitor is not None and monitor.error is not None:
            best |= monitor.gain(metrics, self.peak) >= -self.peak[monitor.error]
        if best:
            self.best_epoch, self.best = self.epoch, metrics
        exhausted = 0 < patience <= self.epoch - self.peak_epoch
        self.stopped_early = exhausted and self.epoch < epochs
        self.finished = exhausted or self.epoch >= epochs
        return best
