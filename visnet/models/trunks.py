"""Convolutional trunks: photos in, the averages at some depths and the last map out."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from visnet.models.initial import bias_of
from visnet.models.mobilenet import mobilenet_layers
from visnet.models.norms import LocalNorm

SMALLEST_SIDE_PX = 64

_VGG = {  # channels and convolutions of each block
    "vgg16": ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    "vgg19": ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
}
_PLAIN = (24, 48, 96, 128, 192)


class Trunk(nn.Module):
    """Layers in a row, some of whose outputs can be tapped.

    `taps` are (layers so far, channels) of each depth that can be; `width` is the last map's channels, and `grid` its
    side at the source's photo size. `imagenet` names torchvision's weights for it, if there are any.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        taps: Sequence[tuple[int, int]],
        width: int,
        grid: int,
        imagenet: str | None = None,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)  # the keys of torchvision's vgg, so that its weights fit
        self.taps, self.width, self.grid, self.imagenet = tuple(taps), width, grid, imagenet

    def forward(self, photos: Tensor, depths: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """Average over space at `depths` (1: the shallowest), each [B, C]; also return the last map [B, C, H, W]."""
        ends = {self.taps[depth - 1][0] for depth in depths}
        averages = []
        x = photos
        for end, layer in enumerate(self.features, 1):
            x = layer(x)
            if end in ends:
                averages.append(x.mean((2, 3)))
        return averages, x

    def freeze(self, convs: int) -> None:
        """Hold the first `convs` convolutions and their batch norms as they are; `ValueError` if there are fewer."""
        count = sum(isinstance(layer, nn.Conv2d) for layer in self.modules())
        if not 0 <= convs <= count:
            raise ValueError(f"frozen_convs must be 0 to {count}, the trunk's convolutions, is {convs}")
        seen = 0
        for layer in self.modules():
            seen += isinstance(layer, nn.Conv2d)
            if seen <= convs:
                for parameter in layer.parameters(recurse=False):
                    parameter.requires_grad_(False)


def refuse_small(photos: Tensor) -> None:
    """Raise `ValueError` for photos whose maps would vanish on the way down."""
    if min(photos.shape[-2:]) < SMALLEST_SIDE_PX:
        raise ValueError(f"photos are {list(photos.shape)}; the side must be at least {SMALLEST_SIDE_PX} pixels")


def vgg(name: str) -> Trunk:
    """Build VGG16 or VGG19 without its dense layers; tapped after each block's pool."""
    layers: list[nn.Module] = []
    taps = []
    width = 3
    for channels, count in _VGG[name]:
        for _ in range(count):
            layers += [_he(nn.Conv2d(width, channels, 3, padding=1)), nn.ReLU(inplace=True)]
            width = channels
        layers.append(nn.MaxPool2d(2, 2))
        taps.append((len(layers), width))
    return Trunk(layers, taps=taps[:-1], width=width, grid=7, imagenet=f"{name.upper()}_Weights.IMAGENET1K_V1")


def alexnet() -> Trunk:
    """Build the network of 2012 without its dense layers: two groups of filters, norms across neighbouring channels.

    Its 2,334,080 parameters are not torchvision's alexnet, which has neither; tapped after the first two pools.
    """

    def norm() -> nn.Module:
        return LocalNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # torch divides alpha by the five channels, the source not

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)  # as floor at 227 px; a small photo keeps a map to the end

    def conv(before: int, after: int, kernel: int, *, groups: int) -> list[nn.Module]:
        layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups)
        return [_he(layer), nn.ReLU(inplace=True)]

    layers = [_he(nn.Conv2d(3, 96, 11, stride=4)), nn.ReLU(inplace=True), norm(), pool()]
    layers += [*conv(96, 256, 5, groups=2), norm(), pool()]
    layers += [*conv(256, 384, 3, groups=1), *conv(384, 384, 3, groups=2), *conv(384, 256, 3, groups=2), pool()]
    return Trunk(layers, taps=((4, 96), (8, 256)), width=256, grid=6)


def mobilenet() -> Trunk:
    """Build MobileNet v1; tapped after five depthwise convolutions, the deepest map of each side."""
    layers, taps, width = mobilenet_layers()
    return Trunk(layers, taps=taps, width=width, grid=7)


def plain() -> Trunk:
    """Build five strided 3x3 convolutions with batch norms, all tapped: a CPU trains it from nothing in minutes."""
    layers = []
    for before, after in zip((3, *_PLAIN[:-1]), _PLAIN, strict=True):
        conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        layers.append(nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)))
    return Trunk(layers, taps=list(enumerate(_PLAIN[:-1], 1)), width=_PLAIN[-1], grid=4)


TRUNKS: dict[str, Callable[[], Trunk]] = {
    "vgg16": lambda: vgg("vgg16"),
    "vgg19": lambda: vgg("vgg19"),
    "alexnet": alexnet,
    "mobilenet": mobilenet,
    "plain": plain,
}


def _he(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(bias_of(conv))
    return conv
