"""How far off a mean over the tested photos may be, since other products could have been tested: a bootstrap.

Photos of one product are found or missed together. What is drawn anew is therefore the product, with all its photos
(the cluster bootstrap: Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007), and the interval is that of
the percentiles (Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979). It is narrow
where few products were tested, and a share of 0 or 1 has no width: then it says little, and the products are counted
beside it.
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
AT_ONCE = 1 << 22  # weights that are held together

Floats = NDArray[np.float64]


def resampled_means(values: np.ndarray, products: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return the means of resamples, [R, M] float64, NaN of fewer than two products, which vary in nothing.

    values: [Q, M] numbers, a row for each photo; products: [Q] int64, which product it shows. Each resample draws as
    many products as there are, with replacement. Equal arguments give equal numbers, and the columns of a row are of
    the same draw: their differences are paired. `ValueError` if values and products differ in length.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or np.shape(products) != values.shape[:1]:
        raise ValueError(f"values are {values.shape} and products {np.shape(products)}; needed are [Q, M] and [Q]")
    names, code = np.unique(products, return_inverse=True)
    if len(names) < 2:
        return np.full((resamples, values.shape[1]), np.nan)
    photos = np.bincount(code).astype(np.float64)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, code, values)
    rng, chance = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    means, step = [], max(1, AT_ONCE // len(names))
    for start in range(0, resamples, step):
        drawn = rng.multinomial(len(names), chance, size=min(step, resamples - start)).astype(np.float64)
        means.append(drawn @ sums / (drawn @ photos)[:, None])
    return np.concatenate(means)


def interval(means: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the low and the high end of the percentile interval of resampled means [R, M], each [M] float64."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
