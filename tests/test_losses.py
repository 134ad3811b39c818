"""Losses, against plain Python loops and, where it has the same, against pytorch-metric-learning."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor
from torch.nn import functional

from visnet.losses import LOSSES, PER_TRIPLET, batch_negatives, mined_negatives, right_order, sq_distances
from visnet.zoo import strict

# One triplet has q = p, one q = n (photos 2 and 7 are equal, and show different products), none p = n.
TRIPLETS = torch.tensor([[0, 1, 2], [3, 4, 0], [5, 5, 1], [2, 6, 7], [0, 1, 7], [4, 3, 6]])
LABELS = torch.tensor([0, 0, 1, 2, 2, 3, 1, 4])
HINGES = ("sq_hinge", "hinge")
WITH_WEIGHTS = ("proxy_anchor", "arcface", "sup_con_proxies")
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in LOSSES if name not in (*HINGES, "angular")]
CASES += [(name, {"negatives": kind}) for name in HINGES for kind in ("given", "batch", "hard", "semi_hard")]
CASES += [(name, {"swap": kind}) for name in HINGES for kind in ("nearer", "both")]
CASES += [("multi_similarity", {"miner_epsilon": 0.0}), ("angular", {"alpha_deg": 25.0})]  # 45° hardly ever acts
Row = list[float]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def embeddings(seed: int = 0, scale: float = 0.5) -> Tensor:
    drawn = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)) * scale
    drawn[7] = drawn[2]
    return drawn


def loss_of(name: str, parameters: dict[str, Any], dimensions: int = 5) -> Callable[..., Tensor]:
    """Return the loss as training calls it; one with weights of its own has the same ones each time."""
    make: Any = LOSSES[name]
    if not isinstance(make, type):
        return lambda x, triplets, labels: make(x, triplets, labels, **parameters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return make(5, dimensions, **parameters)


def slopes(name: str, parameters: dict[str, Any], x: Tensor, labels: Tensor = LABELS) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    values = loss_of(name, parameters, x.shape[1])(x, TRIPLETS, labels)
    values.sum().backward()
    assert x.grad is not None
    return values.detach(), x.grad


def sq(a: Row, b: Row) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Row, b: Row) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# --- Losses of one triplet -------------------------------------------------------------------------------------------

TAN_30 = 1 / math.sqrt(3)
OF_ONE: list[tuple[str, dict[str, Any], Callable[[Row, Row, Row], float]]] = [
    ("sq_hinge", {"margin": 0.0009}, lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.0009)),
    ("sq_hinge", {}, lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.2)),
    ("sq_hinge", {"swap": "nearer"}, lambda q, p, n: max(0, sq(q, p) - min(sq(q, n), sq(p, n)) + 0.2)),
    (
        "sq_hinge",
        {"swap": "both"},
        lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.2) + max(0, sq(q, p) - sq(p, n) + 0.2),
    ),
    ("hinge", {"margin": 0.2}, lambda q, p, n: max(0, math.dist(q, p) - math.dist(q, n) + 0.2)),
    (
        "hinge",
        {"margin": 0.1, "swap": "nearer"},
        lambda q, p, n: max(0, math.dist(q, p) - min(math.dist(q, n), math.dist(p, n)) + 0.1),
    ),
    (
        "hinge",
        {"margin": 0.1, "swap": "both"},
        lambda q, p, n: sum(max(0, math.dist(q, p) - math.dist(s, n) + 0.1) for s in (q, p)),
    ),
    ("contrastive", {"margin": 1.5}, lambda q, p, n: 0.5 * (sq(q, p) + max(0, 1.5 - math.dist(q, n)) ** 2)),
    (
        "lossless",
        {"sq_limit": 3.0, "eps": 1e-3},
        lambda q, p, n: -math.log(1 - min(sq(q, p), 3) / 3 + 1e-3) - math.log(1 - (3 - min(sq(q, n), 3)) / 3 + 1e-3),
    ),
    (
        "softpn",
        {"temperature": 0.4},
        lambda q, p, n: sigmoid((math.dist(q, p) - min(math.dist(q, n), math.dist(p, n))) / 0.4) ** 2,
    ),
    ("softmax_ratio", {}, lambda q, p, n: sigmoid(math.dist(q, p) - math.dist(q, n)) ** 2),
    (
        "angular",
        {"alpha_deg": 30.0},
        lambda q, p, n: max(0, sq(q, p) - 4 * TAN_30**2 * sq(n, [(a + b) / 2 for a, b in zip(q, p, strict=True)])),
    ),
]


@pytest.mark.parametrize(("name", "parameters", "plain"), OF_ONE, ids=[f"{name}-{p}" for name, p, _ in OF_ONE])
def test_a_triplet_costs_what_a_plain_loop_says(name: str, parameters: dict[str, Any], plain: Any) -> None:
    distinct: set[float] = set()
    for seed in range(3):
        x = embeddings(seed)
        rows = x.tolist()
        expected = [plain(rows[q], rows[p], rows[n]) for q, p, n in TRIPLETS.tolist()]
        distinct |= set(expected)
        found = loss_of(name, parameters)(x, TRIPLETS, LABELS)
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=2e-6)
    assert len(distinct) > 4  # not all clamped to zero


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in WITH_WEIGHTS])
def test_per_triplet_losses_are_those_that_other_photos_do_not_change(name: str) -> None:
    x = embeddings(1)
    moved = x.clone()
    moved[[5, 6]] += 0.3  # neither is in the first two triplets
    before, after = (loss_of(name, {})(photos, TRIPLETS[:2], LABELS) for photos in (x, moved))
    assert torch.equal(before, after) == (name in PER_TRIPLET)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("swap", ["none", "nearer"])
def test_hinges_agree_with_pytorch_metric_learning(power: int, swap: str) -> None:
    # There, the squared distance is power = 2, and swap=True takes the nearer of (q, n) and (p, n).
    measure = distances.LpDistance(normalize_embeddings=False, power=power)
    peer = losses.TripletMarginLoss(0.3, swap == "nearer", distance=measure, reducer=reducers.DoNothingReducer())
    x = embeddings(2)
    expected = peer(x, LABELS, TRIPLETS.unbind(1))["loss"]["losses"]
    found = loss_of("hinge" if power == 1 else "sq_hinge", {"margin": 0.3, "swap": swap})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


def test_the_swapped_hinge_is_that_of_torch() -> None:
    x = embeddings(2)
    q, p, n = x[TRIPLETS].unbind(1)
    expected = functional.triplet_margin_loss(q, p, n, margin=0.7, swap=True, reduction="none")
    found = loss_of("hinge", {"margin": 0.7, "swap": "nearer"})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # torch adds 1e-6 to each difference


def test_contrastive_agrees_with_pytorch_metric_learning() -> None:
    # There, a pair's loss is the distance inside its margin; ours is half its square, (q, p) and (q, n) together.
    measure = distances.LpDistance(normalize_embeddings=False)
    peer = losses.ContrastiveLoss(0.0, 1.2, distance=measure, reducer=reducers.DoNothingReducer())
    x = embeddings(4)
    parts = peer(x, LABELS, TRIPLETS.unbind(1))
    expected = (parts["pos_loss"]["losses"].square() + parts["neg_loss"]["losses"].square()) / 2
    found = loss_of("contrastive", {"margin": 1.2})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_angular_agrees_with_pytorch_metric_learning() -> None:
    # On unit vectors d²(q, p) − 4 tan²α d²(n, c) = f + 2 − 6 tan²α; with one negative, the peer gives log(1 + exp f).
    sq_tan = math.tan(math.radians(20)) ** 2
    peer = losses.AngularLoss(20, reducer=reducers.DoNothingReducer())
    x = functional.normalize(embeddings(5).double())
    expected = []
    for q, p, n in TRIPLETS.tolist():
        pair = torch.tensor([0]), torch.tensor([1]), torch.tensor([0]), torch.tensor([2])
        value = peer(x[[q, p, n]], torch.tensor([0, 0, 1]), pair)["loss"]["losses"].item()
        expected.append(max(0.0, math.log(math.expm1(value)) + 2 - 6 * sq_tan))
    assert sum(value > 0 for value in expected) >= 2
    found = loss_of("angular", {"alpha_deg": 20.0})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found.tolist(), expected, rtol=1e-6, atol=1e-6)


# --- Negatives of the batch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sq_distance", [True, False])
@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_batch_negatives_follow_a_plain_loop(sq_distance: bool, margin: float) -> None:
    x = embeddings(3)
    rows, labels = x.tolist(), LABELS.tolist()
    measure = sq if sq_distance else math.dist
    expected = []
    for q, p, _ in TRIPLETS.tolist():
        near = measure(rows[q], rows[p])
        values = [near - measure(rows[q], rows[n]) + margin for n in range(len(rows)) if labels[n] != labels[q]]
        active = [value for value in values if value > 0]
        expected.append(sum(active) / len(active) if active else 0.0)
    assert max(expected) > 0
    found = batch_negatives(x, LABELS, TRIPLETS[:, :2], margin=margin, sq=sq_distance)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    name = "sq_hinge" if sq_distance else "hinge"
    assert torch.equal(loss_of(name, {"margin": margin, "negatives": "batch"})(x, TRIPLETS, LABELS), found)


def mined_by_loop(x: Tensor, labels: list[int], q: int, p: int, kind: str) -> int:
    rows = x.tolist()
    other = [n for n in range(len(rows)) if labels[n] != labels[q]]
    if not other:
        return -1
    far = {n: math.dist(rows[q], rows[n]) for n in other}
    beyond = [n for n in other if far[n] > math.dist(rows[q], rows[p])]
    if kind == "semi_hard" and not beyond:
        return max(other, key=far.__getitem__)
    return min(beyond if kind == "semi_hard" else other, key=far.__getitem__)


@pytest.mark.parametrize("kind", ["hard", "semi_hard"])
def test_mined_negatives_follow_a_plain_loop(kind: Any) -> None:
    expected, found = [], []
    for seed in range(6):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
        x[0] += 4.0  # far from its positive: no photo of another product is farther than that
        expected += [mined_by_loop(x, LABELS.tolist(), q, p, kind) for q, p, _ in TRIPLETS.tolist()]
        mined = mined_negatives(x, LABELS, TRIPLETS[:, :2], kind=kind)
        found += mined.tolist()
        given = torch.cat((TRIPLETS[:, :2], mined[:, None]), 1)
        for name in HINGES:
            values = loss_of(name, {"negatives": kind})(x, TRIPLETS, LABELS)
            assert torch.equal(values, loss_of(name, {})(x, given, LABELS))
    assert found == expected


def test_semi_hard_is_not_hard_and_falls_back_to_the_farthest() -> None:
    x = torch.tensor([[0.0], [2.0], [1.0], [3.0], [5.0], [-9.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 0])
    pairs = torch.tensor([[0, 1], [1, 0], [0, 5], [0, 0]])
    assert mined_negatives(x, labels, pairs, kind="hard").tolist() == [2, 2, 2, 2]
    assert mined_negatives(x, labels, pairs, kind="semi_hard").tolist() == [3, 4, 4, 2]
    x[3] = x[1]  # equal to the positive is not farther
    assert mined_negatives(x, labels, pairs[:1], kind="semi_hard").tolist() == [4]


@pytest.mark.parametrize("positives", ["easy", "hard"])
def test_mined_negatives_are_those_of_pytorch_metric_learning(positives: str) -> None:
    # Its miner picks a positive per photo as well, and drops photos that have no semi-hard negative.
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(24) // 3
    measure = distances.LpDistance(normalize_embeddings=False)
    for theirs, ours in (("hard", "hard"), ("semihard", "semi_hard")):
        mine = miners.BatchEasyHardMiner(positives, theirs, distance=measure)
        query, positive, _, negative = mine(x, labels)
        assert len(query) >= 8
        found = mined_negatives(x, labels, torch.stack((query, positive), 1), kind=ours)  # type: ignore[arg-type]
        assert torch.equal(found, negative)


# --- Losses of pairs and labels --------------------------------------------------------------------------------------


def n_pair_loop(rows: list[Row], labels: list[int], tan: float, weight: float) -> list[float]:
    values = []
    for q, p, _ in TRIPLETS.tolist():
        a, b = rows[q], rows[p]
        other = [row for row, label in zip(rows, labels, strict=True) if label != labels[q]]
        over_angle = [4 * tan**2 * (dot(a, n) + dot(b, n)) - 2 * (1 + tan**2) * dot(a, b) for n in other]
        over_pair = [dot(a, n) - dot(a, b) for n in other]
        values.append(
            math.log(1 + sum(map(math.exp, over_angle))) + weight * math.log(1 + sum(map(math.exp, over_pair)))
        )
    return values


def nt_xent_loop(rows: list[Row], labels: list[int], temperature: float) -> list[float]:
    values = []
    for a in range(len(rows)):
        against = [math.exp(cosine(rows[a], rows[n]) / temperature) for n in range(len(rows)) if labels[n] != labels[a]]
        for p in range(len(rows)):
            if p != a and labels[p] == labels[a]:
                near = math.exp(cosine(rows[a], rows[p]) / temperature)
                values.append(-math.log(near / (near + sum(against))))
    return values


def sup_con_loop(rows: list[Row], labels: list[int], temperature: float) -> list[float]:
    values = []
    for a in range(len(rows)):
        others = [x for x in range(len(rows)) if x != a]
        total = sum(math.exp(cosine(rows[a], rows[x]) / temperature) for x in others)
        near = [cosine(rows[a], rows[p]) / temperature for p in others if labels[p] == labels[a]]
        values.append(sum(math.log(total) - s for s in near) / max(len(near), 1))
    return values


def sup_con_proxies_loop(rows: list[Row], labels: list[int], proxies: list[Row]) -> list[float]:
    values = []
    for value, row, label in zip(sup_con_loop(rows, labels, 0.2), rows, labels, strict=True):
        s = [cosine(row, proxy) / 0.3 for proxy in proxies]
        values.append(value + 0.7 * math.log(sum(math.exp(x - s[label]) for x in s)))
    return values


def multi_similarity_loop(rows: list[Row], labels: list[int], epsilon: float) -> list[float]:
    values = []
    for a in range(len(rows)):
        near = [cosine(rows[a], rows[p]) for p in range(len(rows)) if p != a and labels[p] == labels[a]]
        far = [cosine(rows[a], rows[n]) for n in range(len(rows)) if labels[n] != labels[a]]
        if epsilon:
            near, far = (
                [s for s in near if s - epsilon < max(far)],
                [s for s in far if near and s + epsilon > min(near)],
            )
        value = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in near)) / 2
        values.append(value + math.log(1 + sum(math.exp(50 * (s - 0.5)) for s in far)) / 50)
    return values


def proxy_anchor_loop(rows: list[Row], labels: list[int], proxies: list[Row]) -> list[float]:
    values = []
    for label, proxy in enumerate(proxies):
        s = [cosine(row, proxy) for row in rows]
        near = [math.exp(-32 * (x - 0.1)) for x, mine in zip(s, labels, strict=True) if mine == label]
        far = [math.exp(32 * (x + 0.1)) for x, mine in zip(s, labels, strict=True) if mine != label]
        share = len(proxies) / len(set(labels))
        values.append(share * math.log(1 + sum(near)) + math.log(1 + sum(far)))
    return values


def arcface_loop(rows: list[Row], labels: list[int], weights: list[Row], margin_deg: float) -> list[float]:
    values, margin = [], math.radians(margin_deg)
    for row, label in zip(rows, labels, strict=True):
        s = [cosine(row, weight) for weight in weights]
        angle = math.acos(s[label])
        s[label] = math.cos(angle + margin) if angle + margin <= math.pi else s[label] - margin * math.sin(margin)
        values.append(math.log(sum(math.exp(8 * (x - s[label])) for x in s)))
    return values


def test_losses_of_labels_follow_plain_loops() -> None:
    for seed in range(3):
        x = embeddings(seed, 1.0)
        rows, labels = x.tolist(), LABELS.tolist()
        proxies = loss_of("proxy_anchor", {})
        arcface = loss_of("arcface", {"scale": 8.0, "margin_deg": 80.0})  # so wide that some angle passes 180°
        both = loss_of("sup_con_proxies", {"temperature": 0.2, "proxy_temperature": 0.3, "weight": 0.7})
        cases: list[tuple[Tensor, list[float]]] = [
            (loss_of("sup_con", {})(x, TRIPLETS, LABELS), sup_con_loop(rows, labels, 0.1)),
            (both(x, TRIPLETS, LABELS), sup_con_proxies_loop(rows, labels, both.proxies.W.T.tolist())),
            (loss_of("nt_xent", {})(x, TRIPLETS, LABELS), nt_xent_loop(rows, labels, 0.1)),
            (loss_of("multi_similarity", {})(x, TRIPLETS, LABELS), multi_similarity_loop(rows, labels, 0.1)),
            (
                loss_of("multi_similarity", {"miner_epsilon": 0.0})(x, TRIPLETS, LABELS),
                multi_similarity_loop(rows, labels, 0.0),
            ),
            (
                loss_of("n_pair_angular", {"alpha_deg": 30.0})(x, TRIPLETS, LABELS),
                n_pair_loop(rows, labels, TAN_30, 2.0),
            ),
            (proxies(x, TRIPLETS, LABELS), proxy_anchor_loop(rows, labels, proxies.loss.proxies.tolist())),
            (arcface(x, TRIPLETS, LABELS), arcface_loop(rows, labels, arcface.loss.W.T.tolist(), 80.0)),
        ]
        for found, expected in cases:
            torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_a_proxy_without_photos_counts_as_in_the_paper() -> None:
    # The mean over our values is 1/|labels present| of the one sum, plus 1/|labels| of the other: the library's loss.
    loss = loss_of("proxy_anchor", {})
    x, present = embeddings(7), torch.tensor([0, 0, 1, 1, 3, 3, 1, 0])
    loop = proxy_anchor_loop(x.tolist(), present.tolist(), loss.loss.proxies.tolist())
    torch.testing.assert_close(loss(x, TRIPLETS, present), torch.tensor(loop), rtol=1e-4, atol=1e-4)
    peer = losses.ProxyAnchorLoss(5, 5, 0.1, 32)
    peer.load_state_dict(loss.loss.state_dict())
    torch.testing.assert_close(loss(x, TRIPLETS, present).mean(), peer(x, present))


def test_nt_xent_is_the_library_s_on_a_batch_of_several_blocks() -> None:
    labels = torch.arange(19) % 5
    labels[16:] = torch.tensor([7, 8, 9])  # a block of photos that have no pair
    x = torch.randn(19, 6, generator=torch.Generator().manual_seed(2))
    peer = losses.NTXentLoss(0.2, reducer=reducers.DoNothingReducer())
    found = loss_of("nt_xent", {"temperature": 0.2})(x, TRIPLETS, labels)
    torch.testing.assert_close(found, peer(x, labels)["loss"]["losses"])


def test_the_parts_of_n_pair_angular_agree_with_pytorch_metric_learning() -> None:
    x = functional.normalize(torch.randn(10, 6, generator=torch.Generator().manual_seed(3)))
    labels = torch.arange(10) % 5
    pairs = torch.tensor([[row, (row + 5) % 10] for row in range(10)])  # all there are, in the library's order
    triplets = torch.cat((pairs, pairs[:, :1]), 1)
    angle_only = loss_of("n_pair_angular", {"alpha_deg": 40.0, "n_pair_weight": 0.0})(x, triplets, labels)
    peer = losses.AngularLoss(40, reducer=reducers.DoNothingReducer())(x, labels)["loss"]
    assert torch.equal(torch.stack(peer["indices"], 1), pairs)
    torch.testing.assert_close(angle_only, peer["losses"].flatten(), rtol=1e-5, atol=1e-5)
    # Its N-pair loss has a query and a positive per label, and only the others' positives are negatives. We take every
    # photo of another label, so that each pair gets a batch of its own, without the other queries.
    expected = losses.NPairsLoss(reducer=reducers.DoNothingReducer())(x, labels)["loss"]["losses"]
    for pair in range(5):
        photos, own = x[[pair, *range(5, 10)]], labels[[pair, *range(5, 10)]]
        at = torch.tensor([[0, 1 + pair, 0]])
        both, angle = (
            loss_of("n_pair_angular", {"n_pair_weight": weight})(photos, at, own).item() for weight in (1.0, 0.0)
        )
        assert both - angle == pytest.approx(expected[pair].item(), abs=1e-5)


# --- Every loss ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_gradients_agree_with_finite_differences(name: str, parameters: dict[str, Any]) -> None:
    # Without the photo that equals another, where distances have a kink; float64 is computed in float64.
    x = embeddings(5)[:7].double().requires_grad_()
    loss = loss_of(name, parameters)
    triplets = TRIPLETS[torch.tensor([0, 1, 5])]
    assert loss(x, triplets, LABELS[:7]).sum().item() > 0
    assert torch.autograd.gradcheck(lambda photos: loss(photos, triplets, LABELS[:7]), (x,))


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_equal_photos_give_finite_values_and_gradients(name: str, parameters: dict[str, Any]) -> None:
    for same in (torch.zeros(8, 5), torch.ones(8, 5), torch.eye(5)[[0] * 8], embeddings(), embeddings()[[0] * 8]):
        values, slope = slopes(name, parameters, same)
        assert bool(torch.isfinite(values).all())
        assert bool(torch.isfinite(slope).all())


def test_a_hinge_on_equal_photos_is_its_margin() -> None:
    for name in HINGES:
        for negatives in ("given", "batch", "hard", "semi_hard"):
            values, _ = slopes(name, {"margin": 0.5, "negatives": negatives}, torch.ones(8, 5))
            torch.testing.assert_close(values, torch.full((len(TRIPLETS),), 0.5), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 200.0, 1e4])  # the smallest step of float16 to beyond its squares
@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_half_precision_embeddings_are_measured_in_float32(name: str, parameters: dict[str, Any], scale: float) -> None:
    half = embeddings(1, scale).half()
    values, slope = slopes(name, parameters, half)
    assert values.dtype == torch.float32
    assert bool(torch.isfinite(values).all())
    expected, wide_slope = slopes(name, parameters, half.float())
    assert torch.equal(values, expected)
    assert bool(torch.isfinite(wide_slope).all())
    if float(wide_slope.abs().max()) < 6e4:  # what float16 can hold
        torch.testing.assert_close(slope, wide_slope.half(), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_autocast_changes_nothing(name: str, parameters: dict[str, Any]) -> None:
    x = embeddings(1)
    expected = loss_of(name, parameters)(x, TRIPLETS, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss_of(name, parameters)(x, TRIPLETS, LABELS), expected)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {"margin": 1.0, "negatives": kind}) for name in HINGES for kind in ("batch", "hard", "semi_hard")),
        ("n_pair_angular", {}),
        ("multi_similarity", {}),
        ("nt_xent", {}),
        ("sup_con", {}),
    ],
)
def test_a_batch_of_one_product_costs_nothing(name: str, parameters: dict[str, Any]) -> None:
    values, slope = slopes(name, parameters, embeddings(), torch.zeros(8, dtype=torch.int64))
    assert set(values.tolist()) == {0.0}
    assert bool((slope == 0).all())


@pytest.mark.parametrize("name", ["multi_similarity", "nt_xent", "sup_con"])
def test_a_batch_without_two_photos_of_a_product_costs_nothing(name: str) -> None:
    values, slope = slopes(name, {}, embeddings(), torch.arange(8))
    assert set(values.tolist()) == {0.0}
    assert bool((slope == 0).all())


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_few_steps_put_triplets_in_the_right_order(name: str, parameters: dict[str, Any]) -> None:
    labels = torch.arange(12) % 4
    triplets = torch.tensor([[q, p, n] for q in range(12) for p in (q - 8, q - 4) for n in (q - 1, q - 2)]) % 12
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = loss_of(name, parameters, dimensions=6)
    optimizer = torch.optim.Adam([x, *getattr(loss, "parameters", list)()], lr=0.05)

    def share_right() -> float:
        return right_order(functional.normalize(x.detach()), triplets).float().mean().item()

    before = share_right()
    for _ in range(60):
        optimizer.zero_grad()
        loss(functional.normalize(x), triplets, labels).mean().backward()
        optimizer.step()
    assert before < 0.5
    assert share_right() > 0.8


def test_a_photo_right_on_its_weights_has_a_gradient() -> None:
    loss = loss_of("arcface", {})
    loss.loss.W.data = torch.eye(5)
    for toward in (1.0, -1.0):  # the cosine is exactly 1, or −1
        x = (toward * torch.eye(5)[LABELS]).requires_grad_()
        loss(x, TRIPLETS, LABELS).sum().backward()
        assert x.grad is not None
        assert bool(torch.isfinite(x.grad).all())
        assert bool((x.grad != 0).any())
        assert bool((loss.loss.get_cosine(x).abs() < 1).all())  # some torch we allow has no finite slope there


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_of_labels_come_from_torch_s_generator(name: str) -> None:
    make: Any = LOSSES[name]
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weight.detach().flatten() for weight in make(7, 5).parameters()]))
    assert drawn[0].numel() == 35
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    with pytest.raises(ValueError, match="labels must be from 0 to 2, are from 0 to 4"):
        make(3, 5)(embeddings(), TRIPLETS, LABELS)


REFUSED = [
    ("sq_hinge", {"margin": -0.1}, "margin must be at least 0 and finite, is -0.1"),
    ("hinge", {"margin": math.nan}, "margin must be at least 0 and finite, is nan"),
    ("hinge", {"negatives": "easy"}, "negatives must be one of 'given', 'batch', 'hard', 'semi_hard', is 'easy'"),
    ("hinge", {"swap": "all"}, "swap must be one of 'none', 'nearer', 'both', is 'all'"),
    ("hinge", {"swap": "both", "negatives": "hard"}, "swap = 'both' needs negatives = 'given', they are 'hard'"),
    ("sq_hinge", {"swap": "nearer", "negatives": "batch"}, "swap = 'nearer' needs negatives = 'given'"),
    ("contrastive", {"margin": 0.0}, "margin must be above 0 and finite, is 0"),
    ("angular", {"alpha_deg": 90.0}, "alpha_deg must be above 0 and below 90, is 90"),
    ("n_pair_angular", {"alpha_deg": 0.0}, "alpha_deg must be above 0 and below 90, is 0"),
    ("n_pair_angular", {"n_pair_weight": -1.0}, "n_pair_weight must be at least 0 and finite, is -1"),
    ("lossless", {"sq_limit": 0.0}, "sq_limit must be above 0 and finite, is 0"),
    ("lossless", {"eps": 0.0}, "eps must be above 0 and below 1, is 0"),
    ("softpn", {"temperature": 0.0}, "temperature must be above 0 and finite, is 0"),
    ("softmax_ratio", {"temperature": math.inf}, "temperature must be above 0 and finite, is inf"),
    ("multi_similarity", {"alpha": 0.0}, "alpha must be above 0 and finite, is 0"),
    ("multi_similarity", {"beta": 0.0}, "beta must be above 0 and finite, is 0"),
    ("multi_similarity", {"base": 1.5}, "base must be at least -1 and below 1, is 1.5"),
    ("multi_similarity", {"miner_epsilon": -0.1}, "miner_epsilon must be at least 0 and finite, is -0.1"),
    ("nt_xent", {"temperature": 0.01}, "temperature must be at least 0.03 and finite, is 0.01"),
    ("proxy_anchor", {"alpha": 0.0}, "alpha must be above 0 and finite, is 0"),
    ("proxy_anchor", {"margin": 2.0}, "margin must be at least 0 and below 2, is 2"),
    ("arcface", {"margin_deg": 90.0}, "margin_deg must be at least 0 and below 90, is 90"),
    ("arcface", {"scale": 0.0}, "scale must be above 0 and finite, is 0"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), REFUSED)
def test_parameters_out_of_their_limits_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    # Even a batch without triplets says so, which is how a configuration can be tried before anything is trained.
    with pytest.raises(ValueError, match=message):
        loss_of(name, parameters)(torch.zeros(2, 5), TRIPLETS[:0], torch.arange(2))


@pytest.mark.parametrize("name", LOSSES)
def test_a_zoo_entry_may_set_the_keyword_parameters_alone(name: str) -> None:
    assert strict.arguments(LOSSES[name], {}, "[loss]") == {}
    assert bool(torch.isfinite(loss_of(name, {})(torch.zeros(2, 5), TRIPLETS[:0], torch.arange(2))).all())
    for key in ("labels", "dimensions", "embeddings"):
        with pytest.raises(ValueError, match="unknown key"):
            strict.arguments(LOSSES[name], {key: 3}, "[loss]")


def test_per_triplet_names_losses() -> None:
    assert set(LOSSES) >= PER_TRIPLET
    assert not PER_TRIPLET & set(WITH_WEIGHTS)


def test_right_order_wants_strictly_nearer() -> None:
    x = torch.tensor([[0.0], [1.0], [-1.0], [3.0]])
    triplets = torch.tensor([[0, 1, 3], [0, 3, 1], [0, 1, 2], [0, 0, 1]])
    assert right_order(x, triplets).tolist() == [True, False, False, True]
    near, far = sq_distances(x, triplets)
    assert near.tolist() == [1.0, 9.0, 1.0, 0.0]
    assert far.tolist() == [9.0, 1.0, 1.0, 1.0]
