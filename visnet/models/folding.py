"""Batch norms, and margins of zeros, folded into convolutions: the same network in fewer passes over memory.

In eval mode a batch norm multiplies and shifts each channel by what is known beforehand, and so may its convolution.
TensorFlow's "same" padding has one row more below than above, for which timm copies the whole input; a kernel with a
first row of zeros more needs none of that.
"""

import copy
import sys
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.hooks import RemovableHandle

Network = TypeVar("Network", bound=nn.Module)
_FAR = 1e-4  # of the largest number of an output: rounding stays far below, another network would not


class WideConv2d(nn.Conv2d):
    """What a convolution with "same" padding does on inputs of one size, [B, C, H, W], with the same zeros around it.

    Each side of the kernel for which there is one row more after the input than before has a first row of zeros.
    """

    def __init__(self, like: nn.Conv2d, height_width: tuple[int, int]) -> None:
        """Take the weights of timm's; ValueError where this cannot be done, as at a dilation."""
        sizes = zip(height_width, like.kernel_size, like.stride, strict=True)
        margins = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side, kernel, stride in sizes]
        if like.dilation != (1, 1) or like.padding_mode != "zeros":
            raise ValueError("only convolutions of neighbours, with zeros around them, can be widened")
        wider = [margin % 2 for margin in margins]
        super().__init__(
            like.in_channels,
            like.out_channels,
            (like.kernel_size[0] + wider[0], like.kernel_size[1] + wider[1]),
            (like.stride[0], like.stride[1]),
            ((margins[0] + 1) // 2, (margins[1] + 1) // 2),
            groups=like.groups,
            device="meta",
        )
        weight = F.pad(like.weight.detach(), (wider[1], 0, wider[0], 0))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = None if like.bias is None else nn.Parameter(like.bias.detach(), requires_grad=False)
        self.height_width = height_width

    def forward(self, seen: Tensor) -> Tensor:
        """Return what the convolution gives; ValueError for another size."""
        if seen.shape[-2:] != self.height_width:
            raise ValueError(f"an input of {tuple(seen.shape[-2:])}: this network is folded for {self.height_width}")
        return super().forward(seen)


def folded(model: Network, side_px: int) -> Network:
    """Return a copy in eval mode that gives what the model gives then, up to rounding, for photos of one side.

    Its batch norms are folded, and on a CPU its margins. Which convolution is before which norm is found out, and the
    copy held against the model, by photos of noise of that side. The model itself is returned where there is nothing to
    fold, or the copy would be another network.
    """
    if not any(_known(module) for module in model.modules()):
        return model
    made = copy.deepcopy(model).eval()
    noise = torch.rand((2, 3, side_px, side_px), generator=torch.Generator().manual_seed(0))
    photos = noise.to(next(model.parameters(), noise).device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        before, pairs = _followed(made, photos)
        for convolution, norm in pairs:
            _join(made, convolution, norm)
        if pairs and photos.device.type == "cpu":  # a GPU has faster kernels for the usual sizes
            _widen(made, photos)
        return made if pairs and alike(before, made(photos)) else model


def _widen(model: nn.Module, photos: Tensor) -> None:
    """Have convolutions that pad their input in a pass of its own do so at once."""
    timm = sys.modules.get("timm.layers.conv2d_same")  # as for `_known`
    names = {module: name for name, module in model.named_modules() if timm and type(module) is timm.Conv2dSame}
    took: dict[nn.Conv2d, set[tuple[int, int]]] = {module: set() for module in names}
    hooks = [
        module.register_forward_pre_hook(lambda one, given: took[one].add(tuple(given[0].shape[-2:])))
        for module in names
    ]
    model(photos)
    for hook in hooks:
        hook.remove()
    for module, sizes in took.items():
        if len(sizes) == 1 and module.dilation == (1, 1) and not is_parametrized(module):
            model.set_submodule(names[module], WideConv2d(module, sizes.pop()))


def _known(module: nn.Module) -> bool:
    """Whether this is a batch norm with statistics: torch's, or timm's, which does what its children do after it."""
    timm = sys.modules.get("timm.layers.norm_act")  # to import it takes seconds, and who has its norms has done so
    kinds = (nn.BatchNorm2d, *([timm.BatchNormAct2d] if timm else []))
    return type(module) in kinds and module.running_mean is not None


def _followed(model: nn.Module, photos: Tensor) -> tuple[Any, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """Return the output, and each convolution with the norm that takes what it gives, both at work once."""
    gave: list[tuple[nn.Conv2d, Tensor]] = []
    took: list[tuple[nn.BatchNorm2d, Tensor]] = []
    hooks: list[RemovableHandle] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not is_parametrized(module):
            hooks.append(module.register_forward_hook(lambda one, _, found: gave.append((one, found))))
        elif _known(module):
            hooks.append(module.register_forward_pre_hook(lambda one, given: took.append((one, given[0]))))
    found = model(photos)
    for hook in hooks:
        hook.remove()
    once = [module for module, _ in [*gave, *took]]
    source = {id(tensor): module for module, tensor in gave}
    pairs = [(source[id(tensor)], norm) for norm, tensor in took if id(tensor) in source]
    return found, [(before, norm) for before, norm in pairs if once.count(before) == once.count(norm) == 1]


def _join(model: nn.Module, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Have one convolution do what these two do, and what else the norm does stay."""
    rest = [part for part in norm.children() if not isinstance(part, nn.Identity)]
    names = {module: name for name, module in model.named_modules()}
    model.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
    model.set_submodule(names[norm], nn.Sequential(*rest) if rest else nn.Identity())


def alike(a: Any, b: Any) -> bool:
    """Return whether two outputs, tensors or any nesting of them, are the same up to rounding."""
    pairs = list(zip(*(torch.utils._pytree.tree_leaves(each) for each in (a, b)), strict=True))
    return all(
        one.shape == other.shape
        and (not one.numel() or torch.allclose(one, other, rtol=0.0, atol=_FAR * float(one.abs().max())))
        for one, other in pairs
    )
