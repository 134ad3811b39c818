"""The shallow paths: one convolution and one pool over the shrunken photo, for colour and pattern."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from visnet.models.initial import Init, initialise
from visnet.models.norms import LocalNorm, saturating_norm, unit_norm

Layout = Literal["strided", "padded", "subsampled", "keras", "caffe"]
ShallowNorm = Literal["each", "joint", "saturating", "none"]

_CHANNELS = 96
_KERNEL = 8


class _Path(NamedTuple):
    shrink: int  # the photo is max-pooled by so much first
    stride: int  # of the convolution
    padding: int
    before: int  # what is put around the map before it is pooled: left and above
    after: int  # right and below
    filler: float
    pool: int
    pool_stride: int
    side: int  # of the pooled map at 224 px, and, pooled or repeated, at any other


# Padding that a framework skips while it pools is -inf; a zero that the source puts there takes part. After a ReLU
# the two are the same.
_SKIPPED = float("-inf")
_PATHS: dict[Layout, tuple[_Path, _Path]] = {
    "strided": (_Path(1, 16, 0, 0, 1, _SKIPPED, 3, 4, 4), _Path(1, 32, 0, 3, 3, _SKIPPED, 7, 2, 4)),
    "padded": (_Path(4, 4, 4, 2, 2, 0.0, 7, 4, 4), _Path(8, 4, 4, 1, 1, 0.0, 3, 2, 4)),
    "subsampled": (_Path(4, 4, 0, 5, 5, 0.0, 7, 4, 5), _Path(8, 4, 0, 1, 2, 0.0, 3, 2, 4)),
    "keras": (_Path(4, 4, 2, 2, 3, 0.0, 7, 4, 4), _Path(8, 4, 2, 1, 1, 0.0, 3, 2, 4)),
    "caffe": (_Path(4, 4, 4, 3, 5, 0.0, 7, 4, 5), _Path(8, 4, 4, 1, 2, 0.0, 3, 2, 5)),
}
_LINEAR = frozenset[Layout]({"strided", "padded"})  # the others have a ReLU after the convolution


class ShallowPaths(nn.Module):
    """See a photo at two coarse scales; gives [B, `width`] float32.

    `layout`: Fynd's strided convolutions over the whole photo, their two ways to shrink it first, the blog's in Keras,
    Flipkart's in Caffe. `lrn` normalises across neighbouring channels, with the layout's own constants. `norm`: unit
    vectors of each path, of both joined, or x / sqrt(1 + ||x||²) of both. Takes [B, 3, S, S], S >= 64.
    """

    def __init__(self, *, layout: Layout, lrn: bool, norm: ShallowNorm, batch_norm: bool, init: Init) -> None:
        super().__init__()
        self.paths = nn.ModuleList(_layers(layout, path, lrn, batch_norm) for path in _PATHS[layout])
        self.norm = norm
        self.width = _CHANNELS * sum(path.side**2 for path in _PATHS[layout])
        initialise(self.modules(), init)

    def forward(self, photos: Tensor) -> Tensor:
        """Return [B, `width`]."""
        both = [path(photos).float() for path in self.paths]
        if self.norm == "each":
            both = [unit_norm(x) for x in both]
        joined = torch.cat(both, 1)
        if self.norm == "joint":
            return unit_norm(joined)
        return saturating_norm(joined) if self.norm == "saturating" else joined


def _layers(layout: Layout, path: _Path, lrn: bool, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    if path.shrink > 1:
        layers.append(nn.MaxPool2d(path.shrink, path.shrink, ceil_mode=True))
    layers.append(nn.Conv2d(3, _CHANNELS, _KERNEL, stride=path.stride, padding=path.padding))
    if batch_norm:
        layers.append(nn.BatchNorm2d(_CHANNELS))
    if layout not in _LINEAR:
        layers.append(nn.ReLU())
    if lrn:
        # torch divides alpha by the five channels, as Caffe does; Fynd's source does not.
        alpha, k = (1e-4, 1.0) if layout == "caffe" else (5e-4, 2.0)
        layers.append(LocalNorm(5, alpha=alpha, beta=0.75, k=k))
    layers.append(nn.ConstantPad2d((path.before, path.after, path.before, path.after), path.filler))
    layers.append(nn.MaxPool2d(path.pool, path.pool_stride))
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(path.side), nn.Flatten())
