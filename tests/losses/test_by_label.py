"""Losses of pairs and labels, against plain loops of their papers' formulas and pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning import losses, reducers
from torch import Tensor
from torch.nn import functional

from tests.losses.batch import (
    LABELS,
    TAN_30,
    TRIPLETS,
    Row,
    cosine,
    dot,
    embeddings,
    loss_of,
)


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
