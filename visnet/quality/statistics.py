"""Statistics of a picture's own pixels, which a network sees squared and scaled: sharpness, seams, flatness."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 160  # larger pictures are shrunk, so that the numbers mean the same
NAMES = (
    "laplacian", "laplacian_of_sharpest", "edges", "strong_edges", "flat", "dark", "bright", "deviation", "saturation",
    "colours", "border_edges", "seam_across", "seam_down", "second_seam_across", "second_seam_down", "border_deviation",
    "high_share", "laplacian_to_edges", "laplacian_at_edges", "halved_difference",
)  # fmt: skip
_FLAT, _EDGE, _STRONG = 1.5, 12.0, 48.0  # differences of brightness between neighbours, of 255


def statistics(picture: Image.Image) -> NDArray[np.float32]:
    """Measure a picture, float32 [`len(NAMES)`]; what can be any size is given as its logarithm."""
    small = picture.copy()
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    rgb = np.asarray(small, np.float32)
    light = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    light = np.pad(light, ((0, max(0, 8 - light.shape[0])), (0, max(0, 8 - light.shape[1]))), mode="edge")
    dx, dy = np.abs(np.diff(light, axis=1)), np.abs(np.diff(light, axis=0))
    steep = np.maximum(dx[:-1], dy[:, :-1])
    inner = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * inner
    squares = laplacian**2
    by_block = _blocks(squares).mean(axis=(1, 3)).ravel()
    at_edges = squares[steep[:-1, :-1] > _EDGE]
    edge = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    even = light[: light.shape[0] // 2 * 2, : light.shape[1] // 2 * 2]
    halved = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    halved = halved.repeat(2, 0).repeat(2, 1)
    red, green, blue = (rgb[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    levels = (rgb.astype(np.int32) >> 4).reshape(-1, 3) @ np.array([256, 16, 1], np.int32)
    seams = [*_seams(dx), *_seams(dy.T)]
    found = [
        np.log1p(squares.mean()), np.log1p(np.quantile(by_block, 0.95)), (steep > _EDGE).mean(),
        (steep > _STRONG).mean(),
        (steep < _FLAT).mean(), (light < 32).mean(), (light > 236).mean(), light.std() / 64, spread.mean() / 64,
        np.log1p(np.count_nonzero(np.bincount(levels))),
        np.abs(np.diff(edge)).mean() / 16, seams[0], seams[2], seams[1], seams[3], edge.std() / 64,
        np.abs(even - halved).mean() / (light.std() + 1.0), np.log1p(squares.mean() / (steep.mean() ** 2 + 1.0)),
        np.log1p(at_edges.mean()) if at_edges.size else 0.0, np.log1p(np.abs(even - halved).mean()),
    ]  # fmt: skip
    return np.array(found, np.float32)


def _blocks(of: NDArray[np.float32], side: int = 16) -> NDArray[np.float32]:
    """View a picture as blocks, [rows, side, columns, side], what is left over cut off; a small one is one block."""
    side_y, side_x = min(side, of.shape[0]), min(side, of.shape[1])
    rows, columns = of.shape[0] // side_y, of.shape[1] // side_x
    return of[: rows * side_y, : columns * side_x].reshape(rows, side_y, columns, side_x)


def _seams(across: NDArray[np.float32]) -> tuple[float, float]:
    """Return the two largest shares of a line of pixels, off the edges, along which there is a step to the next."""
    steps = (across > _EDGE).mean(axis=0)[2:-2]
    if len(steps) < 3:
        return 0.0, 0.0
    first = int(steps.argmax())
    others = np.delete(steps, range(max(0, first - 3), min(len(steps), first + 4)))
    return float(steps[first]), float(others.max(initial=0.0))
