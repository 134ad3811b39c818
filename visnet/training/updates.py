"""One step of a training: forward, backward, and how the weights move."""

from typing import TYPE_CHECKING, Any, Generic, cast

import torch
from torch import nn

from visnet.training.averaging import Average
from visnet.training.batches import step_seed
from visnet.training.options import Options
from visnet.training.processes import autocast
from visnet.training.schedule import lr_factor, optimizer_of, set_lr
from visnet.training.task import Batch, Step, Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Updates(Generic[Batch]):
    """All weights that a training moves, with their optimizer and their running mean."""

    def __init__(self, task: Task[Batch], options: Options, fabric: "Fabric", steps_per_epoch: int) -> None:
        self.task, self.options, self.fabric = task, options, fabric
        self.steps_per_epoch = steps_per_epoch
        self.lr = 0.0  # of the step before
        task.model.to(memory_format=torch.channels_last)
        optimizer = optimizer_of(task.model, options.optimizer, task.loss_module)
        self._learner, self._optimizer = fabric.setup(_Learner(task, options, fabric.device), optimizer)
        self._average = Average(task.model, options.optimizer.ema_decay)

    @property
    def averaged(self) -> nn.Module:
        """The network with its averaged weights; the network itself where none are averaged."""
        return self._average.model

    def make(self, epoch: int, number: int, batch: Batch, *, done: int, first: bool, last: bool) -> Step:
        """Learn from a batch; gradients add up from the `first` to the `last` batch, with which weights move.

        `done` batches of the epoch came before, of all processes together: they move by one learning rate.
        """
        chosen = self.options.optimizer
        torch.manual_seed(step_seed(self.options.seed, epoch, number) ^ 1)  # dropout's
        factor = lr_factor(self.options.schedule, epoch + done / self.steps_per_epoch, self.options.epochs)
        self.lr = chosen.lr * factor
        set_lr(self._optimizer, factor)
        if first:
            self._optimizer.zero_grad()
        with self.fabric.no_backward_sync(self._learner, enabled=not last):
            step: Step = self._learner(batch)
            self.fabric.backward(step.loss / chosen.accumulate)
        if last:
            if chosen.clip_norm:  # a gradient that is not finite is found in the weights, and told there
                self.fabric.clip_gradients(
                    self._learner, self._optimizer, max_norm=chosen.clip_norm, error_if_nonfinite=False
                )
            if chosen.clip_value:
                self.fabric.clip_gradients(self._learner, self._optimizer, clip_val=chosen.clip_value)
            self._optimizer.step()
            self._average.update()
        return step

    def share_buffers(self) -> None:
        """Give all processes the first one's buffers: each has moved its norms' running means by its own batches."""
        if self.fabric.world_size > 1:
            for buffer in self.task.model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what `load` needs to go on."""
        loss_module = self.task.loss_module
        return {
            "model": self.task.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average.state(),
            "loss": {} if loss_module is None else loss_module.state_dict(),
        }

    def load(self, state: dict[str, dict[str, Any]]) -> None:
        """Go on from a state."""
        self.task.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._average.load(state["average"])
        if self.task.loss_module is not None:
            self.task.loss_module.load_state_dict(state["loss"])


class _Learner(nn.Module, Generic[Batch]):
    """All that learns in one module, the network and what its loss has: a batch goes in, its loss comes out.

    So several processes, which average the gradients of a module, average those of the loss, too.
    """

    def __init__(self, task: Task[Batch], options: Options, device: torch.device) -> None:
        super().__init__()
        self._task, self._options, self._device = task, options, device
        self.loss_module = task.loss_module
        self.network = cast(nn.Module, torch.compile(task.model, dynamic=True)) if options.compile else task.model

    def forward(self, batch: Batch) -> Step:
        """Return what the network makes of a batch."""
        with autocast(self._options, self._device):
            return self._task.step(self.network, batch)
