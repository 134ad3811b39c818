"""A model on disk: its weights, their digest, and what is refused."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from tests.models.drawn import SMALL
from visnet import zoo
from visnet.zoo import weights


def test_digest_sees_names_types_shapes_and_values() -> None:
    base = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1)}
    same = {"b": torch.tensor(1), "a": torch.arange(6.0).view(3, 2).T.contiguous().T.reshape(2, 3)}
    assert weights.digest(base) == weights.digest(same)
    others = [
        {**base, "a": base["a"].view(3, 2)},
        {**base, "b": torch.tensor(2)},
        {**base, "a": base["a"].view(torch.int32)},
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"]},
    ]
    assert len({weights.digest(state) for state in (base, *others)}) == 6
    assert weights.digest({"h": torch.ones(3, dtype=torch.bfloat16)})


def test_a_saved_model_embeds_as_before(tmp_path: Path) -> None:
    model = zoo.build_model(zoo.parse(SMALL, "small"), seed=3).eval()
    digest = weights.save(model, SMALL, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.safetensors", "model.toml"]
    loaded, entry = weights.load(tmp_path / "model")
    assert entry == zoo.parse(SMALL, "small")
    assert weights.digest(loaded.state_dict()) == digest == weights.digest(model.state_dict())
    photos = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(photos), model(photos))
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize(
    "architecture",
    [
        {"network": "tf_efficientnet_lite0", "pool": "gem", "embedding": 16, "frozen_blocks": 6},
        {"network": "vit_small_patch16_dinov3", "pool": "token", "embedding": 16},  # frequencies that no file holds
        {"network": "swin_tiny_patch4_window7_224", "embedding": 0, "frozen_blocks": -1},
    ],
    ids=lambda architecture: architecture["network"],
)
def test_a_saved_network_of_timm_embeds_as_before(architecture: dict[str, object], tmp_path: Path) -> None:
    chosen = zoo.Architecture(kind="timm", parameters=architecture)
    entry = dataclasses.replace(zoo.entry("mildnet_small"), name="mine", architecture=chosen)
    model = zoo.build_model(entry, seed=3).eval()
    digest = weights.save(model, entry.toml(), tmp_path)
    drawn = torch.random.get_rng_state()
    loaded, read = weights.load(tmp_path)
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert (read, weights.digest(loaded.state_dict())) == (entry, digest)
    photos = torch.rand(2, 3, 97, 80)
    with torch.inference_mode():
        assert torch.equal(loaded(photos), model(photos))
    frozen = [{n for n, p in m.named_parameters() if not p.requires_grad} for m in (model, loaded)]
    assert frozen[0] == frozen[1]


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(ValueError, match=r"model.toml: no such file"):
        weights.load(folder)
    weights.save(zoo.build_model(zoo.parse(SMALL, "small"), seed=3), SMALL, folder)
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()

    def refused(said: str) -> None:
        with pytest.raises(ValueError, match=said) as caught:
            weights.load(folder)
        assert "\n" not in str(caught.value)
        assert "model.safetensors" in str(caught.value)

    tensors.write_bytes(whole[: len(whole) // 2])
    refused("corrupt or cut short")
    tensors.write_bytes(b"")
    refused("corrupt or cut short")
    tensors.write_bytes(os.urandom(4096))
    refused("corrupt or cut short")
    tensors.unlink()
    refused("no such file")
    wider = SMALL.replace("dense = [16]", "dense = [17]")
    tensors.write_bytes(whole)
    (folder / "model.toml").write_text(wider)
    refused(r"tensor 'deep.dense.0.(bias|weight)' is float32 \[16.*\]; Tapped wants float32 \[17.*\]")
    (folder / "model.toml").write_text(zoo.entry("visnet").toml())
    refused(r"its tensors are not those of Multiscale: \d+ missing, first .*; \d+ unexpected")
