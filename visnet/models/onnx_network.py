"""A convolutional network run by ONNX Runtime on a CPU: the same network in half the time for a photo alone.

ONNX Runtime keeps channels in blocks of what the processor adds at once, has activations in the same pass as what they
follow, weights in the order in which they are read, and no Python between two layers.
"""

import io
import logging
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from visnet.models.folding import alike

MOST_BYTES = 2**30  # of weights: a model is one message of at most 2 GiB, held twice while it is made
_TOLD = frozenset(  # torch's own operations that the exporter tells well: over others it may end the process
    [
        *("_adaptive_avg_pool2d", "add", "add_", "addmm", "amax", "as_strided_", "avg_pool2d", "cat", "clamp_min"),
        *("convolution", "div", "empty", "expand", "hardsigmoid", "hardswish", "hardswish_", "hardtanh", "hardtanh_"),
        *("linalg_vector_norm", "max_pool2d_with_indices", "mean", "mul", "native_batch_norm", "pow", "reciprocal"),
        *("relu", "relu_", "sigmoid", "silu", "silu_", "sub", "t", "view"),
    ]
)
_LIGHT = 1_000_000  # weights of convolutions, in all
_FEWEST = 2  # convolutions: a transformer has one, and is no faster there
_exporting = threading.Lock()
_in_vain: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # networks that were not told: to try takes seconds
log = logging.getLogger("visnet.models")


class OnnxNetwork(nn.Module):
    """A network in eval mode as ONNX Runtime has it: float32 [B, 3, S, S] to [B, D], for any B from 1."""

    def __init__(self, model: bytes) -> None:
        """Take a model as ONNX; as many threads work as torch has, and wait asleep."""
        import onnxruntime

        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._photos = self._session.get_inputs()[0].name
        self.eval()

    def forward(self, photos: Tensor) -> Tensor:
        """Return what the network gives."""
        (found,) = self._session.run(None, {self._photos: photos.float().contiguous().numpy()})
        return torch.from_numpy(found)


def on_onnxruntime(model: nn.Module, side_px: int) -> nn.Module:
    """Return what a network on the CPU gives in eval mode, up to rounding, for photos of one side, from ONNX Runtime.

    The network itself is returned where it has no convolutions to gain from, is too large, has operations that cannot
    be told in ONNX, or would be another one: the two are held against each other on photos of noise.
    """
    weights = [*model.parameters(), *model.buffers()]
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    if model in _in_vain or convolutions < _FEWEST or sum(one.nbytes for one in weights) > MOST_BYTES:
        return model
    noise = torch.rand((3, 3, side_px, side_px), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.no_grad():  # in inference mode operations have other names
        with _Operations() as asked:
            wanted = model(noise)
        try:
            if isinstance(wanted, Tensor) and asked.names <= _TOLD:
                made = OnnxNetwork(_exported(model, noise[:2]))
                if alike(wanted, made(noise)):
                    return made
        except ImportError:
            raise
        except Exception as error:  # whatever the exporter or the session says
            log.debug("torch runs %s: %s", type(model).__name__, error)
    _in_vain.add(model)
    return model


def is_light(model: nn.Module) -> bool:
    """Tell whether ONNX Runtime runs a network in fp32 sooner than torch does in bf16 by AMX.

    So it is where convolutions look at few channels each, as those of EfficientNet and MobileNet, by which AMX
    multiplies tiles that are nearly empty, or where all of them have few weights, so that casting takes longer. Not
    with layer norms, as in ConvNeXt and transformers, which torch runs in either precision.
    """
    modules = [*model.modules()]
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    thin = any(module.groups > 1 for module in convolutions)
    few = sum(module.weight.numel() for module in convolutions) < _LIGHT
    told = len(convolutions) >= _FEWEST and not any(isinstance(module, nn.LayerNorm) for module in modules)
    return told and (thin or few)


class _Operations(TorchDispatchMode):
    """Within it, the names of torch's own operations are noted as they are asked for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


def _exported(model: nn.Module, photos: Tensor) -> bytes:
    """Write a network as ONNX, for any number of photos.

    By torch's older exporter, in less than a second; the newer one takes seven for a network of fifty convolutions.
    """
    file = io.BytesIO()
    with _exporting, warnings.catch_warnings(), patch.object(torch._C, "_jit_set_onnx_log_enabled", _stay_off):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (photos,),
            file,  # type: ignore[arg-type]  # it takes one
            dynamo=False,
            input_names=["photos"],
            dynamic_axes={"photos": {0: "batch"}},
        )
    return file.getvalue()


def _stay_off(on: bool) -> None:
    """Do nothing where the exporter switches on what prints a network that cannot be told, as it always does."""
