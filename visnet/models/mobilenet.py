"""The layers of MobileNet v1, which torchvision has not."""

from torch import nn

# One row per depthwise-separable block: channels out, stride, and whether the depthwise output can be tapped.
_BLOCKS = (
    (64, 1, True),
    (128, 2, True),
    (128, 1, False),
    (256, 2, True),
    (256, 1, False),
    (512, 2, True),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (1024, 2, True),
    (1024, 1, False),
)


def mobilenet_layers() -> tuple[list[nn.Module], list[tuple[int, int]], int]:
    """Return the layers, the (layers so far, channels) of each tap, and the last map's channels."""
    layers: list[nn.Module] = [_conv_bn(3, 32, kernel=3, stride=2)]
    taps = []
    width = 32
    for channels, stride, tap in _BLOCKS:
        layers.append(_conv_bn(width, width, kernel=3, stride=stride, groups=width))
        if tap:
            taps.append((len(layers), width))
        layers.append(_conv_bn(width, channels, kernel=1))
        width = channels
    return layers, taps, width


def _conv_bn(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    # A depthwise filter reads one channel: its fan is 9, not 9 x channels.
    nn.init.kaiming_normal_(conv.weight, mode="fan_in" if groups > 1 else "fan_out")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU6(inplace=True))
