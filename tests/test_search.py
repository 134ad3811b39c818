"""The nearest products: exact, distinct, own product left out, short lists where there is no more."""

import numpy as np
import pytest
import torch

from visnet.search import nearest_products


def slow(queries: np.ndarray, gallery: np.ndarray, product: np.ndarray, k: int, exclude: np.ndarray | None) -> list:
    answers = []
    for i, query in enumerate(queries):
        scored = sorted((float(((query - row) ** 2).sum()), r) for r, row in enumerate(gallery))
        seen: list[tuple[int, float]] = []
        taken = set() if exclude is None else {int(exclude[i])}
        for distance, row in scored:
            if int(product[row]) not in taken:
                taken.add(int(product[row]))
                seen.append((row, distance))
        answers.append(seen[:k])
    return answers


@pytest.mark.parametrize("k", [1, 3, 12])
@pytest.mark.parametrize("own", [False, True])
def test_equals_a_plain_loop(k: int, own: bool) -> None:
    rng = np.random.default_rng(k)
    gallery = rng.integers(-3, 4, (60, 5)).astype(np.float32)
    queries = rng.integers(-3, 4, (9, 5)).astype(np.float32)
    product = rng.integers(0, 10, 60)
    product[:30] = 0  # one product has half of all photos: the first request cannot see k products
    gallery[:30] = gallery[0]
    queries[0] = gallery[0]
    exclude = rng.integers(0, 10, 9) if own else None
    found = nearest_products(torch.from_numpy(queries), torch.from_numpy(gallery), product, k, exclude)
    for i, answer in enumerate(slow(queries, gallery, product, k, exclude)):
        rows = found.row[i][found.row[i] >= 0]
        assert rows.tolist() == [row for row, _ in answer]
        assert found.sq_distance[i][: len(rows)].tolist() == [distance for _, distance in answer]
        assert (found.row[i][len(rows) :] == -1).all()
        assert np.isinf(found.sq_distance[i][len(rows) :]).all()


def test_an_empty_gallery_has_no_answers() -> None:
    found = nearest_products(torch.zeros(2, 4), torch.zeros(0, 4), np.zeros(0, np.int64), 3)
    assert (found.row == -1).all()
