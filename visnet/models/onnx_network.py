"""A convolutional network run by ONNX Runtime on a CPU: the same network in half the time for a photo alone.

ONNX Runtime keeps channels in blocks of what the processor adds at once, has activations in the same pass as what they
follow, weights in the order in which they are read, and no Python between two layers.
"""

import io
import logging
import threading
import warnings
import weakref
from unittest.mock import patch

import torch
from torch import Tensor, nn

from visnet.models.folding import alike

MOST_BYTES = 2**30  # of weights: a model is one message of at most 2 GiB, held twice while it is made
_TOLD = frozenset(  # operations as a trace names them: of others the exporter may end the process
    [
        *("_convolution", "adaptive_avg_pool2d", "add", "add_", "addcmul", "amax", "avg_pool2d", "batch_norm", "cat"),
        *("clamp_min", "div", "dropout", "expand_as", "flatten", "gelu", "hardsigmoid", "hardswish", "hardswish_"),
        *("hardtanh", "hardtanh_", "layer_norm", "linalg_vector_norm", "linear", "max_pool2d", "mean", "mul"),
        *("permute", "pow", "reciprocal", "relu", "relu_", "sigmoid", "silu", "silu_", "sub", "to"),
    ]
)
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
    with torch.no_grad():
        wanted = model(noise)
        if not isinstance(wanted, Tensor):
            return model
        try:
            traced = _traced(model, noise[:2])
            if _operations(traced) <= _TOLD:
                made = OnnxNetwork(_exported(model, noise[:2]))
                if alike(wanted, made(noise)):
                    return made
        except ImportError:
            raise
        except Exception as error:  # whatever a tracer, an exporter or the session says
            log.debug("torch runs %s: %s", type(model).__name__, error)
    _in_vain.add(model)
    return model


def _traced(model: nn.Module, photos: Tensor) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, (photos,), check_trace=False)  # type: ignore[no-untyped-call]
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _operations(traced: torch.jit.ScriptModule) -> set[str]:
    """Return the names of what is done to tensors, and of whatever else is no constant and no list."""
    kinds = {node.kind() for node in traced.inlined_graph.nodes()}
    plain = {"prim::Constant", "prim::GetAttr", "prim::ListConstruct", "prim::TupleConstruct", "prim::TupleUnpack"}
    return {kind.removeprefix("aten::") for kind in kinds - plain}


def _exported(model: nn.Module, photos: Tensor) -> bytes:
    """Write a network as ONNX, for any number of photos.

    By torch's older exporter, in less than a second; the newer one takes seven for a network of fifty convolutions. It
    is given the network and not its trace, whose weights it would hold for ever.
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
