"""Which rows may answer: deleted rows, one row of a product, not oneself, one category; and shards."""

import pytest
import torch

from kernels.nearest import METRICS, Gallery, merge, nearest, pack_bits

Q, G, K = 9, 700, 12
BACKENDS = ["reference", "cpu", "gallery"]


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    gallery = torch.randn(G, 6, generator=generator).mul_(2).round_()  # many ties
    return gallery[::80][:Q].clone(), gallery, generator


def search(how, queries, gallery, k, metric="sq_euclidean", **filters):
    if how == "gallery":
        return nearest(queries, Gallery(gallery, metric=metric), k, **filters)
    return nearest(queries, gallery, k, metric=metric, backend=how, **filters)


def filtered(queries, gallery, k, metric, valid=None, group=None, exclude=None, within=None):
    """Filter the full ranking row by row: the rows that remain, and their scores."""
    full = nearest(queries, gallery, len(gallery), metric=metric, backend="reference")
    answers = []
    for query in range(len(queries)):
        seen, answer = set(), []
        for row, score in zip(full.row[query].tolist(), full.score[query].tolist(), strict=True):
            product = row if group is None else int(group[row])
            if valid is not None and not valid[row]:
                continue
            if exclude is not None and product == int(exclude[query]):
                continue
            if within is not None and not within[query, 0] <= row < within[query, 1]:
                continue
            if product not in seen:
                seen.add(product)
                answer.append((row, score))
        answers.append(answer[:k])
    return answers


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("how", BACKENDS)
@pytest.mark.parametrize("valid", [None, "most", "few", "none", "all"])
@pytest.mark.parametrize("group", [None, "few", "many"])
@pytest.mark.parametrize("exclude", [False, True])
def test_filters_in_any_combination(how, metric, valid, group, exclude):
    queries, gallery, generator = data()
    share = {"most": 0.9, "few": 0.05, "none": 0.0, "all": 1.0}.get(valid)
    filters = {}
    if share is not None:
        filters["valid"] = torch.rand(G, generator=generator) < share
    if group is not None:
        filters["group"] = torch.randint(0, {"few": 5, "many": 300}[group], (G,), generator=generator)
    if exclude:
        filters["exclude"] = torch.arange(Q) * 80 if group is None else filters["group"][: 80 * Q : 80].clone()
        filters["exclude"][3] = -1
    expected = filtered(queries, gallery, K, metric, **filters)
    found = search(how, queries, gallery, K, metric, **filters)
    worst = torch.inf if metric == "sq_euclidean" else -torch.inf
    for query, answer in enumerate(expected):
        short = K - len(answer)
        assert found.row[query].tolist() == [row for row, _ in answer] + [-1] * short
        assert found.score[query].tolist() == [score for _, score in answer] + [worst] * short


@pytest.mark.parametrize("how", BACKENDS)
def test_within_searches_each_query_in_its_own_rows(how):
    queries, gallery, generator = data()
    within = torch.randint(0, G + 1, (Q, 2), generator=generator).sort(dim=1).values
    within[4] = within[5]
    within[6, 1] = within[6, 0]  # nothing
    group = torch.randint(0, 50, (G,), generator=generator)
    for filters in ({}, {"group": group, "exclude": group[:Q]}, {"exclude": within[:, 0].clone()}):
        expected = filtered(queries, gallery, K, "sq_euclidean", within=within, **filters)
        found = search(how, queries, gallery, K, within=within, **filters)
        for query, answer in enumerate(expected):
            assert found.row[query].tolist() == [row for row, _ in answer] + [-1] * (K - len(answer))


def test_a_category_is_all_that_is_read(monkeypatch):
    # The rest of the gallery is spoilt after it was checked; whoever reads it answers wrongly.
    queries, gallery, _ = data()
    expected = nearest(queries, gallery[100:200].clone(), K)
    ready = Gallery(gallery, compute="bfloat16")
    ready.prepared.codes.codes[:100], ready.prepared.codes.codes[200:] = torch.inf, torch.inf
    found = nearest(queries, ready, K, within=torch.tensor([[100, 200]] * Q))
    assert (found.row - 100).tolist() == expected.row.tolist()


def test_a_bitset_is_the_mask_packed():
    queries, gallery, generator = data()
    mask = torch.rand(G, generator=generator) < 0.5
    packed = pack_bits(mask)
    assert packed.tolist()[:2] == [sum(int(bit) << i for i, bit in enumerate(mask[n : n + 8])) for n in (0, 8)]
    for how in BACKENDS:
        assert search(how, queries, gallery, K, valid=packed).row.tolist() == (
            search(how, queries, gallery, K, valid=mask).row.tolist()
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cuts", [[350], [1, 2, 699], [0, 5, 5, 300]])
def test_shards_merge_into_the_answer_of_the_whole(cuts, metric):
    queries, gallery, generator = data()
    group = torch.randint(0, 60, (G,), generator=generator)
    for grouped in (None, group):
        whole = nearest(queries, gallery, K, metric=metric, group=grouped)
        parts = []
        for start, stop in zip([0, *cuts], [*cuts, G], strict=True):
            own = None if grouped is None else grouped[start:stop]
            part = nearest(queries, gallery[start:stop], K, metric=metric, group=own)
            row = torch.where(part.row < 0, -1, part.row + start)
            parts.append(type(part)(part.score, row, part.proven))
        found = merge(parts[::-1], K, metric=metric, group=grouped)
        assert found.row.tolist() == whole.row.tolist()
        assert found.score.tolist() == whole.score.tolist()


@pytest.mark.parametrize("how", BACKENDS)
def test_minus_one_excludes_nothing_even_where_a_group_is_called_so(how):
    group = torch.tensor([-1, -1, 4])
    found = search(how, torch.zeros(1, 2), torch.zeros(3, 2), 3, group=group, exclude=torch.tensor([-1]))
    assert found.row.tolist() == [[0, 2, -1]]


def test_parts_of_different_queries_do_not_merge():
    queries, gallery, _ = data()
    parts = [nearest(queries[:n], gallery, K) for n in (2, 3)]
    with pytest.raises(ValueError, match=r"parts answer \[2, 3\] queries"):
        merge(parts, K)
