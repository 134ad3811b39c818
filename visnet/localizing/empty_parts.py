"""Parts of photos in which there is no product that a box tells of: where a localizer must be unsure."""

import numpy as np
from PIL import Image

LEAST = 0.25  # of the photo's shorter side: less shows too little


def empty_part(picture: Image.Image, boxes: np.ndarray) -> Image.Image | None:
    """Cut the largest strip beside all boxes, [M, 4] left, top, width, height; None where each is too narrow."""
    width, height = picture.size
    left, top = np.floor(boxes[:, :2].min(0)).clip(0)
    right, bottom = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(0)).clip(0, [width, height])
    strips = [(0, 0, left, height), (right, 0, width, height), (0, 0, width, top), (0, bottom, width, height)]
    best = max(strips, key=lambda strip: min(strip[2] - strip[0], strip[3] - strip[1]))
    if min(best[2] - best[0], best[3] - best[1]) < LEAST * min(width, height):
        return None
    return picture.crop((int(best[0]), int(best[1]), int(best[2]), int(best[3])))
