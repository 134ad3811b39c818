"""A gallery in three shards of a Ray cluster answers as one process does, to the bit."""

import itertools

import pytest
import torch
from torch import Tensor

from kernels.nearest import nearest, pack_bits
from tests.engines import nodes
from tests.engines.nodes import Nodes
from visnet.engines import cluster
from visnet.engines.shards import Shards

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shards(connected: cluster.Cluster) -> Shards:
    return Shards(3)


def by_loops(queries: Tensor, gallery: Tensor, k: int, group: list[int], exclude: list[int], valid: list[bool]) -> list:
    """Return the rows and distances of each query, sorted by hand: of a group the first."""
    found = []
    for query, out in zip(queries.tolist(), exclude, strict=True):
        order = []
        for at, row in enumerate(gallery.tolist()):
            if valid[at] and group[at] != out:
                order.append((sum((a - b) ** 2 for a, b in zip(query, row, strict=True)), at))
        firsts: dict[int, tuple[float, int]] = {}
        for distance, at in sorted(order):
            firsts.setdefault(group[at], (distance, at))
        found.append([*firsts.values()][:k])
    return found


@pytest.mark.parametrize(("count", "k"), [(0, 3), (1, 3), (2, 5), (40, 4), (40, 30), (40, 90)])
def test_three_shards_answer_as_loops_over_all_rows(count: int, k: int, shards: Shards) -> None:
    """Vectors of whole numbers, of which many are alike: k beyond a shard and beyond all, shards without a row."""
    drawn = torch.Generator().manual_seed(count + k)
    gallery, queries = (torch.randint(0, 3, (n, 3), generator=drawn).float() for n in (count, 7))
    group = torch.randint(0, 9, (count,), generator=drawn)
    exclude = torch.randint(-1, 9, (7,), generator=drawn)
    valid = torch.rand(count, generator=drawn) < 0.8
    answer = shards.gallery(gallery).nearest(queries, k, group=group, exclude=exclude, valid=valid)
    wanted = by_loops(queries, gallery, k, group.tolist(), exclude.tolist(), valid.tolist())
    assert answer.row.shape == (7, min(k, count))
    for row, score, one in zip(answer.row.tolist(), answer.score.tolist(), wanted, strict=True):
        assert [(d, at) for d, at in zip(score, row, strict=True) if at >= 0] == one


def test_three_shards_are_one_process_to_the_bit_and_a_lost_node_changes_nothing(three: Nodes, shards: Shards) -> None:
    drawn = torch.Generator().manual_seed(5)
    gallery, queries = torch.randn(3000, 24, generator=drawn), torch.randn(50, 24, generator=drawn)
    gallery[1500:2500] = gallery[:1000]  # ties across shards
    group = torch.randint(0, 800, (3000,), generator=drawn)
    exclude = torch.randint(-1, 800, (50,), generator=drawn)
    rows = torch.randint(-1, 3000, (50,), generator=drawn)
    valid = torch.rand(3000, generator=drawn) < 0.5
    within = torch.randint(0, 3001, (50, 2), generator=drawn).sort(dim=1).values
    filters = [
        {}, {"exclude": rows}, {"group": group, "exclude": exclude}, {"valid": valid}, {"valid": pack_bits(valid)},
        {"within": within}, {"group": group, "valid": valid, "within": within, "exclude": exclude},
    ]  # fmt: skip

    def compare(vectors: Tensor, asked: Tensor, metric: str, k: int, **chosen: Tensor) -> None:
        found = shards.gallery(vectors, metric).nearest(asked, k, **chosen)
        whole = nearest(asked, vectors, k, metric=metric, **chosen)
        assert torch.equal(found.row, whole.row)
        assert torch.equal(found.score, whole.score)

    for chosen, k in itertools.product(filters, (1, 10, 1200)):
        compare(gallery, queries, "sq_euclidean", k, **chosen)
    for metric in ("inner_product", "cosine"):
        compare(gallery, queries, metric, 10)
    compare(gallery.half(), queries.half(), "sq_euclidean", 10)
    compare((gallery * 20).to(torch.int8), (queries * 20).to(torch.int8), "sq_euclidean", 10)

    held = shards.gallery(gallery)
    whole = nearest(queries, gallery, 10)
    assert torch.equal(held.nearest(queries, 10).row, whole.row)
    living = [node for node in three.nodes if node.poll() is None]
    nodes.kill(living[-1])
    for _ in range(3):
        again = held.nearest(queries, 10)
        assert torch.equal(again.row, whole.row)
        assert torch.equal(again.score, whole.score)
    three.join()


def test_what_a_shard_cannot_hold_is_said_in_a_line(shards: Shards) -> None:
    vectors = torch.zeros(6, 2)
    with pytest.raises(ValueError, match=r"queries have D = 3 and gallery has D = 2"):
        shards.gallery(vectors).nearest(torch.zeros(1, 3), 1)
    with pytest.raises(ValueError, match="parts of a gallery: 1 of D"):
        shards.gallery_of([vectors])
    vectors[4] = torch.nan
    with pytest.raises(ValueError, match=r"^shard from row 4: gallery row 0 holds nan"):
        shards.gallery(vectors).nearest(torch.zeros(1, 2), 1)
    with pytest.raises(ValueError, match="count of shards"):
        Shards(0)
