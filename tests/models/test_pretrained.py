"""The weights that a network begins with are published ones, each in its place."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from tests.models.drawn import SMALL, random
from visnet import zoo
from visnet.models.multiscale import Multiscale
from visnet.models.pretrained import load_pretrained
from visnet.models.tapped import Tapped
from visnet.models.timm_trunk import TimmTrunk
from visnet.zoo import weights


def numbered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of a state's names and shapes, each filled with its place in the list; takes no memory."""
    return {name: torch.tensor(float(at)).expand(value.shape) for at, (name, value) in enumerate(state.items())}


FC6, FC7 = "classifier.0.bias", "classifier.3.bias"


@pytest.mark.parametrize(
    ("make", "vgg", "dense"),
    [
        (lambda: Multiscale(), "vgg16", {"deep.dense.0.bias": FC6, "deep.dense.1.bias": FC7}),
        (lambda: Tapped(trunk="vgg19", frozen_convs=7), "vgg19", {}),
        (lambda: Tapped(taps=(), pool="grid", dense=(4096, 512)), "vgg16", {"deep.dense.0.bias": FC6}),
        (lambda: Tapped(taps=(), pool="grid", dense=(1024, 4096)), "vgg16", {}),
        (lambda: Tapped(taps=(), pool="average", dense=(4096, 4096)), "vgg16", {}),
    ],
)  # fmt: skip
def test_a_trunk_takes_torchvisions_vgg(make: object, vgg: str, dense: dict[str, str]) -> None:
    with torch.device("meta"):
        model = make()  # type: ignore[operator]
        shapes = getattr(torchvision.models, vgg)().state_dict()
    state = numbered(shapes)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    model.load_trunk(state)
    filled = {name for name, value in model.state_dict().items() if not value.is_meta}
    wanted = {f"deep.trunk.{name}": name for name in state if name.startswith("features.")} | dense
    assert filled >= wanted.keys()
    assert {name for name in filled if "dense" in name} == {
        f"{name.rpartition('.')[0]}.{kind}" for name in dense for kind in ("weight", "bias")
    }
    for ours, theirs in wanted.items():
        value = model.get_parameter(ours)
        assert value.shape == state[theirs].shape
        assert value.flatten()[0] == list(state).index(theirs), ours
    assert frozen == [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def test_what_is_no_vgg16_is_refused() -> None:
    with torch.device("meta"):
        model = Multiscale()
        shapes = torchvision.models.vgg16().state_dict()
        other = torchvision.models.vgg19().state_dict()
    state = numbered(shapes)
    with pytest.raises(ValueError, match=r"no VGG16: 2 of its 30 tensors are missing, first 'classifier.0.bias'"):
        model.load_trunk({name: value for name, value in state.items() if "classifier.0" not in name})
    with pytest.raises(ValueError, match=r"no VGG16: 'classifier.3.bias' is \[7\], must be \[4096\]"):
        model.load_trunk({**state, "classifier.3.bias": torch.zeros(7)})
    with pytest.raises(ValueError, match=r"no VGG16: \d+ of its 30 tensors are missing, first 'features.17.bias'"):
        model.load_trunk(other)
    with pytest.raises(ValueError, match=r"torchvision has no plain; a file must hold all tensors of the model"):
        Tapped(trunk="plain").load_trunk(state)


NETWORKS = [
    ("resnet18", "gem"),
    ("convnextv2_tiny", "average"),
    ("mobilenetv3_large_100", "gem"),
    ("vit_tiny_patch16_224", "average"),
    ("vit_small_patch16_dinov3", "token"),
    ("vit_base_patch16_siglip_224", "attention"),
]


@pytest.mark.parametrize(("name", "pool"), NETWORKS)
def test_a_trunk_takes_timms_weights(name: str, pool: str) -> None:
    with torch.device("meta"):
        model = TimmTrunk(network=name, pool=pool)  # type: ignore[arg-type]
        shapes = timm.create_model(name).state_dict()
    # Older files do not count the batches seen.
    state = numbered({key: value for key, value in shapes.items() if not key.endswith("num_batches_tracked")})
    drawn = torch.random.get_rng_state()
    model.load_trunk(state)
    assert torch.equal(drawn, torch.random.get_rng_state())
    for ours, value in model.state_dict().items():
        theirs = ours.removeprefix("trunk.")
        if ours == theirs or theirs.endswith(".power"):
            assert value.is_meta, ours
        elif not theirs.endswith("num_batches_tracked"):
            assert value.flatten()[0] == list(state).index(theirs), ours


def test_what_is_no_network_of_timm_is_refused() -> None:
    with torch.device("meta"):
        model = TimmTrunk(network="resnet18")
        shapes = timm.create_model("resnet18").state_dict()
    state = numbered(shapes)
    for given, said in (
        ({key: value for key, value in state.items() if key != "conv1.weight"}, 'Missing key.*"conv1.weight"'),
        ({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, "size mismatch for conv1.weight|conv1"),
        ({"x": torch.zeros(1)}, "Unexpected key"),
    ):
        with pytest.raises(ValueError, match=f"no resnet18: .*{said}") as caught:
            model.load_trunk(given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "pool"), [("resnet18", "average"), ("vit_tiny_patch16_224", "token")])
def test_a_trunk_reads_photos_as_timms_network_does(name: str, pool: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = timm.create_model(name).eval()
    model = TimmTrunk(network=name, pool=pool, embedding=0).eval()  # type: ignore[arg-type]
    model.load_trunk(theirs.state_dict())
    theirs.reset_classifier(0)
    photos = random(2, 3, 224, 224)
    config = theirs.pretrained_cfg
    with torch.inference_mode():
        expected = theirs(torchvision.transforms.functional.normalize(photos, config["mean"], config["std"]))
        torch.testing.assert_close(model(photos), nn.functional.normalize(expected), rtol=1e-4, atol=1e-6)


def test_pretrained_weights_come_from_a_file(tmp_path: Path) -> None:
    trained = zoo.build_model(zoo.parse(SMALL, "small"), seed=3)
    weights.save(trained, SMALL, tmp_path)
    path = tmp_path / "model.safetensors"
    warm = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{path}"'), "warm")
    assert weights.digest(zoo.build_model(warm, seed=4).state_dict()) == weights.digest(trained.state_dict())
    torch.save(trained.state_dict(), tmp_path / "model.pth")
    warm = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{tmp_path}/model.pth"'), "warm")
    assert weights.digest(zoo.build_model(warm, seed=4).state_dict()) == weights.digest(trained.state_dict())
    torch.save(print, tmp_path / "evil.pth")
    for name, said in (("evil.pth", "corrupt or cut short"), ("no.pth", "no such file"), ("x.h5", "unknown kind")):
        bad = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{tmp_path}/{name}"'), "bad")
        with pytest.raises(ValueError, match=rf"zoo entry mildnet_small: weights .*{said}.*allowed are 'imagenet'"):
            zoo.build_model(bad, seed=0)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with torch.device("meta"):
        model = Multiscale()
    with pytest.raises(ValueError, match=r"vgg16-397923af.pth could not be downloaded") as caught:
        load_pretrained(model, "imagenet", "zoo entry visnet")
    said = str(caught.value)
    assert f"put that file at {tmp_path}/hub/checkpoints/vgg16-397923af.pth" in said
    assert "'none' or the path" in said
    assert "\n" not in said
    with torch.device("meta"):
        mobile = Tapped(trunk="mobilenet")
    with pytest.raises(ValueError, match="neither torchvision nor timm has any for mobilenet"):
        load_pretrained(mobile, "imagenet", "x")
