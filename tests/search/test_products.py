"""The nearest products: exact, distinct, own product left out, short lists where there is no more; and blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.nearest import Gallery, pack_bits
from visnet.search import products
from visnet.search.products import blocks, nearest_products


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
    product[:30] = 0  # one product has half of all photos, all alike
    gallery[:30] = gallery[0]
    queries[0] = gallery[0]
    exclude = rng.integers(0, 10, 9) if own else None
    found = nearest_products(torch.from_numpy(queries), torch.from_numpy(gallery), product, k, exclude)
    assert found.row.shape == found.sq_distance.shape == (9, k)
    for i, answer in enumerate(slow(queries, gallery, product, k, exclude)):
        rows = found.row[i][found.row[i] >= 0]
        assert rows.tolist() == [row for row, _ in answer]
        assert found.sq_distance[i][: len(rows)].tolist() == [distance for _, distance in answer]
        assert (found.row[i][len(rows) :] == -1).all()
        assert np.isinf(found.sq_distance[i][len(rows) :]).all()


def test_an_empty_gallery_has_no_answers() -> None:
    found = nearest_products(torch.zeros(2, 4), torch.zeros(0, 4), np.zeros(0, np.int64), 3)
    assert (found.row == -1).all()
    assert found.row.shape == (2, 3)
    assert np.isinf(found.sq_distance).all()


def test_more_products_than_photos_are_filled_up() -> None:
    found = nearest_products(torch.zeros(1, 4), torch.ones(2, 4), np.array([5, 6]), 4)
    assert found.row.tolist() == [[0, 1, -1, -1]]
    assert found.sq_distance.tolist() == [[4.0, 4.0, np.inf, np.inf]]


def test_a_prepared_gallery_answers_as_its_vectors_do() -> None:
    rng = np.random.default_rng(0)
    vectors, product = torch.from_numpy(rng.normal(size=(300, 16))).float(), rng.integers(0, 40, 300)
    product.flags.writeable = False  # as pandas may hand them out
    gallery = Gallery(vectors)
    for exclude in (None, product):
        one = nearest_products(vectors, vectors, product, 7, exclude)
        other = nearest_products(vectors, gallery, product, 7, exclude)
        assert (one.row == other.row).all()
        assert (one.sq_distance == other.sq_distance).all()
    with pytest.raises(ValueError, match="cosine"):
        nearest_products(vectors, Gallery(vectors, metric="cosine"), product, 7)


@pytest.mark.parametrize("within", [None, (50, 300)])
def test_rows_that_may_not_answer_are_as_if_they_were_not_there(within: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(0)
    vectors, product = torch.from_numpy(rng.normal(size=(300, 16))).float(), rng.integers(0, 40, 300)
    valid = torch.from_numpy(rng.random(300) < 0.2)
    start, stop = within or (0, 300)
    kept = torch.arange(300)[start:stop][valid[start:stop]]
    wanted = nearest_products(vectors, vectors[kept], product[kept.numpy()], 40)
    for mask in (valid, pack_bits(valid)):
        found = nearest_products(vectors, Gallery(vectors), product, 40, within=within, valid=mask)
        assert (found.sq_distance == wanted.sq_distance).all()
        there = found.row >= 0
        assert (found.row[there] == kept.numpy()[wanted.row[there]]).all()


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9), st.integers(1, 60))
def test_blocks_hold_every_query_once_and_stay_small(columns: list[int], queries: int, answers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK_QUERIES", queries)
        patch.setattr(products, "BLOCK_ANSWERS", answers)
        made = list(blocks(np.array(columns, np.int64)))
    assert sorted(q for block, _ in made for q in block.tolist()) == list(range(len(columns)))
    for block, most in made:
        assert len(block) <= queries
        assert len(block) * most <= answers or len(block) == 1
        assert all(columns[q] <= most <= 2 * columns[q] for q in block)
