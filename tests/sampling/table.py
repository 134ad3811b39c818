"""A small table of crops with descriptors, and the plain definition of how relevant one is to another."""

import itertools

import numpy as np
import pandas as pd
import torch

from visnet.sampling.crops import Crops
from visnet.sampling.relevance import MIDDLING, Relevance

torch.set_num_threads(1)
COLUMNS = ("product_id", "category", "colour", "side", "split", "photo_id")
Row = tuple[str, str, str, str, str, str]
Triplet = tuple[int, int, int]


def row(product: str, category: str = "hat", split: str = "train", photo: str = "", side: str = "shop") -> Row:
    return (product, category, "", side, split, photo)


def crops(rows: list[Row]) -> Crops:
    return Crops.from_frame(pd.DataFrame(rows, columns=COLUMNS))


TABLE = [
    *(row(p, photo=f) for p, f in zip("aabbcdefgh", ["1", "", "2", "3", "2", "", "", "", "", ""], strict=True)),
    *(row(p, "bag", photo=f) for p, f in zip("aijkl", ["1", "", "4", "4", ""], strict=True)),
    row("m", "shoe"),
    row("n", "hat", "test"),
]
TRAIN = range(len(TABLE) - 1)


def described() -> dict[str, torch.Tensor]:
    """Binary vectors, of few distances: so the median is the same however the pairs fall that it is taken from."""
    rng = np.random.default_rng(2)
    return {name: torch.tensor(rng.integers(0, 2, (len(TABLE), 6)), dtype=torch.float32) for name in ("s", "t")}


def sq_distance(v: list[list[float]], a: int, b: int) -> float:
    return sum((x - y) ** 2 for x, y in zip(v[a], v[b], strict=True))


def relevant(i: int, j: int) -> float:
    """Return the relevance of two crops of one category, from the definition."""
    if i == j or (TABLE[i][5] and TABLE[i][5] == TABLE[j][5]):
        return 0.0
    if TABLE[i][0] == TABLE[j][0]:
        return 1.0
    found = []
    for vectors in described().values():
        v = vectors.tolist()
        members = [k for k in TRAIN if TABLE[k][1] == TABLE[i][1]]
        apart = sorted(sq_distance(v, a, b) for a, b in itertools.combinations(members, 2))
        median = apart[len(apart) // 2]
        robust = {apart[round(share * (len(apart) - 1))] for share in (0.44, 0.5, 0.56)}
        assert robust == {median}, "another seed: the median must not hang on single pairs"
        found.append(MIDDLING ** (sq_distance(v, i, j) / median))
    return sum(found) / len(found)


def measured() -> Relevance:
    rows = np.array(TRAIN)
    vectors = {name: v[: len(rows)] for name, v in described().items()}
    return Relevance.of(crops(TABLE).take(rows), vectors, np.random.default_rng(0))
