"""Randomness by name: the same words give the same numbers in any process and in any order."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np


def generator(*words: object) -> np.random.Generator:
    """Return the generator that belongs to these words."""
    digest = hashlib.blake2b("\x1f".join(str(word) for word in words).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Draw one of the options."""
    return options[int(rng.integers(len(options)))]


def weighted(rng: np.random.Generator, options: Mapping[str, float]) -> str:
    """Draw one of the options, each as often as its weight says."""
    weights = np.array(list(options.values()))
    return list(options)[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), side="right"))]
