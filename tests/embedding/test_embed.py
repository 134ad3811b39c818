"""Embedding a dataset of photos."""

import dataclasses
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from visnet import zoo
from visnet.embedding.embed import _AHEAD, chosen_device, chosen_precision, embed


class Photos(torch.utils.data.Dataset[Tensor]):
    def __init__(self, count: int) -> None:
        drawn = torch.Generator().manual_seed(0)
        self.photos = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=drawn)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(4, 5),
    )  # fmt: skip


def untrained(name: str) -> zoo.Entry:
    return dataclasses.replace(zoo.entry(name), weights="none")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (6, 3), (1, 4), (0, 4)])
def test_every_photo_is_embedded_once_and_in_order(count: int, batch: int) -> None:
    model, photos = network(), Photos(count)
    found = list(embed(model, photos, batch=batch, device="cpu", precision="fp32"))
    assert [len(rows) for rows, _ in found] == [batch] * (count // batch) + [count % batch] * (count % batch > 0)
    assert [int(row) for rows, _ in found for row in rows] == list(range(count))
    model.eval()
    for rows, embeddings in found:
        assert embeddings.dtype == torch.float32
        for row, embedding in zip(rows.tolist(), embeddings, strict=True):
            alone = model(photos[row][None].float() / 255)[0]
            torch.testing.assert_close(embedding, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (6, 3), (1, 4), (0, 4)])
def test_what_is_computed_ahead_comes_in_the_same_order(
    count: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, photos = network(), Photos(count)
    expected = list(embed(model, photos, batch=batch, device="cpu", precision="fp32"))
    monkeypatch.setitem(_AHEAD, "cpu", 1)
    computed: list[int] = []
    model.register_forward_pre_hook(lambda _, given: computed.append(len(given[0])))
    stream = embed(model, photos, batch=batch, device="cpu", precision="bf16")
    for number, (rows, _) in enumerate(stream, 1):
        assert rows.tolist() == expected[number - 1][0].tolist()
        assert len(computed) == min(number + 1, len(expected))
    assert len(computed) == len(expected)
    again = list(embed(model, photos, batch=batch, device="cpu", precision="fp32"))
    for (rows, vectors), (wanted_rows, wanted) in zip(again, expected, strict=True):
        assert torch.equal(rows, wanted_rows)
        assert torch.equal(vectors, wanted)


def test_a_vector_is_the_same_to_the_bit_in_whatever_company() -> None:
    model = zoo.build_model(zoo.entry("mildnet_small"), seed=1)
    drawn = torch.Generator().manual_seed(1)
    photos = torch.randint(0, 256, (21, 3, 64, 64), dtype=torch.uint8, generator=drawn)

    def vectors(rows: list[int]) -> Tensor:
        some = Subset(cast("torch.utils.data.Dataset[Tensor]", photos), rows)
        return torch.cat([part for _, part in embed(model, some, batch=16, device="cpu")])

    whole = vectors(list(range(21)))
    for rows in ([3], [20, 1, 7], list(range(20, -1, -1))):
        assert torch.equal(vectors(rows), whole[rows])


def test_the_model_is_left_as_it_was_found() -> None:
    model = network().train()
    model[1].eval()  # a frozen batch norm
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(embed(model, Photos(5), batch=2, device="cpu"))
    assert [part.training for part in model] == [True, False, True, True, True, True, True]
    stream = embed(model, Photos(5), batch=2, device="cpu")
    next(stream)
    assert not any(part.training for part in model)
    stream.close()  # given up half way
    assert [part.training for part in model] == [True, False, True, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_model_is_not_moved_back_and_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    model, moves = network(), []
    moving = model.to
    monkeypatch.setattr(model, "to", lambda place: moves.append(place) or moving(place))
    for _ in range(2):
        list(embed(model, Photos(5), batch=2, device="cpu"))
    assert moves == [torch.device("cpu")] * 2


def test_half_precision_is_asked_for_and_comes_back_as_float32() -> None:
    model, photos = network(), Photos(4)
    (_, full), (_, half) = (next(embed(model, photos, batch=4, device="cpu", precision=p)) for p in ("fp32", "bf16"))
    assert half.dtype == torch.float32
    assert not torch.equal(full, half)
    torch.testing.assert_close(full, half, rtol=0.05, atol=0.02)
    full += 1  # no inference tensor: its owner may write to it


def test_a_cpu_embeds_in_bf16_where_it_has_tiles_and_the_network_fills_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda, names = torch.device("cpu"), torch.device("cuda"), ("resnet18", "mobilenet_v3_large", "convnext_tiny")
    dense, thin, convnext = (zoo.build_model(entry, seed=1) for entry in map(untrained, names))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert [chosen_precision("auto", cpu, model) for model in (dense, thin, convnext)] == ["fp32"] * 3
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert [chosen_precision("auto", cpu, model) for model in (dense, thin, convnext)] == ["bf16", "fp32", "bf16"]
    small = zoo.build_model(untrained("mildnet_small"), seed=1)
    assert chosen_precision("auto", cpu, small) == "fp32", "it has few weights"
    assert chosen_precision("auto", cpu, network()) == "bf16", "a single convolution is not run by ONNX Runtime"
    assert [chosen_precision("auto", cuda, model) for model in (dense, thin)] == ["bf16"] * 2
    assert (chosen_precision("fp32", cpu, dense), chosen_precision("bf16", cpu, thin)) == ("fp32", "bf16")


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="batch must be at least 1, is 0"):
        next(embed(network(), Photos(2), batch=0))
    with pytest.raises(ValueError, match="device 'tpu' is unknown; allowed are 'auto', 'cpu', 'cuda'"):
        next(embed(network(), Photos(2), batch=1, device="tpu"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="precision 'fp8' is unknown; allowed are 'auto', 'fp32', 'bf16'"):
        next(embed(network(), Photos(2), batch=1, precision="fp8"))  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no usable CUDA GPU"):
        chosen_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_cpu() -> None:
    model, photos = network(), Photos(9)
    cpu, gpu = (torch.cat([e for _, e in embed(model, photos, batch=4, device=name)]) for name in ("cpu", "cuda"))
    torch.testing.assert_close(cpu, gpu, rtol=0.05, atol=0.02)
    assert next(model.parameters()).device.type == "cuda"  # where a second call finds it
