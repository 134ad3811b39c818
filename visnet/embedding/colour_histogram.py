"""The colour-histogram baseline: what a search finds that knows colours and nothing else.

Made to be an honest opponent: CIELAB bins fine enough to tell neighbouring shades, soft binning so that a shade near a
bin's edge is no gamble, the picture's centre weighing most (backgrounds lie at the rim), and the Hellinger distance.
"""

from functools import cache, lru_cache

import numpy as np

BINS = (6, 12, 12)  # of L* in 0 … 100 and of a*, b* in −64 … 64; what lies beyond falls into the outermost bin
CENTRE = 0.3  # standard deviation of the centre's weight, in half widths and half heights
ALIKE = 8.0  # CIELAB units within which a pixel looks like one of the rim
SHARPNESS = 4  # a pixel that looks like a quarter of the rim keeps (1 − 1/4)^4 of its weight
LEAST = 0.1  # of the centre's weight must be left to objects for the rim to be believed in full
RIM = 32  # pixels looked at on each of the top, left and right sides
LEVELS = 32  # per channel: 8-bit values are first rounded to this many, so that a table can know each colour's bins

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def colour_histogram(image: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Describe an RGB image, uint8 [H, W, 3] of any size, by its colours: float32 [D].

    weight: [H, W], how much each pixel counts, not all zero; the centre's weight unless given. The entries are square
    roots of shares, so the squared Euclidean distance of two is twice their squared Hellinger distance: 0 for equal
    shares of colours, 2 for none in common. `ValueError` for another shape or dtype.
    """
    colour = _colours(image)
    if weight is not None and weight.shape != image.shape[:2]:
        raise ValueError(f"weight is {weight.shape}; needed is {image.shape[:2]}, as the image")
    bins, shares = _table()
    weights = np.bincount(colour.ravel(), _centre(*image.shape[:2]) if weight is None else weight.ravel(), LEVELS**3)
    seen = np.flatnonzero(weights)
    spread = weights[seen, None] * shares[seen]
    histogram = np.bincount(bins[seen].ravel(), spread.ravel(), BINS[0] * BINS[1] * BINS[2])
    return np.sqrt(histogram / histogram.sum()).astype(np.float32)


def colour_histograms(images: np.ndarray) -> np.ndarray:
    """Describe each of N images, uint8 [N, H, W, 3], as `colour_histogram` does: float32 [N, D]."""
    if images.ndim != 4:
        raise ValueError(f"images are {images.shape}; needed is [N, H, W, 3]")
    histograms = np.empty((len(images), BINS[0] * BINS[1] * BINS[2]), dtype=np.float32)
    for row, image in enumerate(images):
        histograms[row] = colour_histogram(image)
    return histograms


def foreground(image: np.ndarray) -> np.ndarray:
    """Weigh each pixel of an RGB image, uint8 [H, W, 3], by how likely it shows the object: float64 [H, W].

    The rim (top, left and right; objects run out at the bottom) tells the background: a pixel is background as far as
    the rim has colours like its own, within about `ALIKE` of CIELAB. The centre's weight times what is left is the
    answer. Where the rim is of many colours it speaks against none of them, and where nearly all looks like it (white
    on white, a fabric that fills the picture) it is not believed: both leave the centre's weight alone.
    """
    colour = _colours(image)
    centre = _centre(*image.shape[:2])
    seen, place = np.unique(colour.ravel(), return_inverse=True)
    rim = _levels_lab()[colour[_rim(*image.shape[:2])]]
    own = _levels_lab()[seen]
    sq_distance = (own**2).sum(1)[:, None] + (rim**2).sum(1) - 2 * own @ rim.T
    alike = np.exp(sq_distance * (-0.5 / ALIKE**2)).mean(axis=1)  # share of the rim that is of this colour
    object_like = (1 - np.minimum(alike, 1)) ** SHARPNESS
    left = object_like[place] @ centre / centre.sum()
    belief = min(1.0, left / LEAST)
    return (centre * (belief * object_like[place] + 1 - belief)).reshape(image.shape[:2])


def lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in 0 … 255, any dtype [..., 3], to CIELAB under D65, float64 [..., 3] (IEC 61966-2-1, CIE 15)."""
    xyz = _linearised(np.asarray(rgb, dtype=np.float64) / 255) @ TO_XYZ.T / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lightness(image: np.ndarray) -> np.ndarray:
    """Return L* of each pixel of an RGB image, uint8 [H, W, 3]: float64 [H, W] in 0 … 100."""
    luminance = _linear()[image] @ TO_XYZ[1]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, 24389 / 27 * luminance)


def _colours(image: np.ndarray) -> np.ndarray:
    """Return the number of each pixel's rounded colour, intp [H, W]."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image is {image.dtype} {image.shape}; needed is uint8 [H, W, 3] with at least one pixel")
    level = image.astype(np.intp) * LEVELS // 256
    return (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]


@cache
def _linear() -> np.ndarray:
    """Return the linear value of each 8-bit one, float64 [256]."""
    return _linearised(np.arange(256) / 255)


def _linearised(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@cache
def _levels_lab() -> np.ndarray:
    """Return the CIELAB values of every rounded colour, float64 [C, 3]."""
    level = (np.arange(LEVELS) + 0.5) * 256 / LEVELS - 0.5
    return lab(np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3))


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return for every colour of the table its 8 nearest bins, intp [C, 8], and its share in each, float64 [C, 8]."""
    place = (_levels_lab() - [0, -64, -64]) / [100, 128, 128] * BINS - 0.5  # 0 is the first bin's middle
    below = np.floor(place).astype(np.intp)
    above_share = place - below
    bins, shares = [], []
    for corner in np.ndindex(2, 2, 2):
        shares.append(np.where(corner, above_share, 1 - above_share).prod(axis=1))
        clipped = np.clip(below + corner, 0, np.array(BINS) - 1)
        bins.append(np.ravel_multi_index(tuple(clipped.T), BINS))
    return np.stack(bins, axis=1), np.stack(shares, axis=1)


@lru_cache(maxsize=16)  # crops come in many sizes, batches in one
def _centre(height: int, width: int) -> np.ndarray:
    """Return the weight of each pixel, float64 [height * width]."""
    down, across = ((np.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    return np.exp(-0.5 * ((down[:, None] / CENTRE) ** 2 + (across / CENTRE) ** 2)).ravel()


@lru_cache(maxsize=16)
def _rim(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the rim's pixels, intp [3 * RIM] each, just inside the edge (frames, ringing)."""
    along = (np.arange(RIM) + 0.5) / RIM
    near = np.full(RIM, 0.02)
    down, across = np.concatenate([near, along, along]), np.concatenate([along, near, 1 - near])
    return (down * height).astype(np.intp), (across * width).astype(np.intp)
