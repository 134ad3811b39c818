"""Networks, the zoo that names them, and their weights on disk."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from visnet import weights, zoo
from visnet.models import ARCHITECTURES, parameter_counts
from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, as_floats, stack
from visnet.models.mobilenet import MildnetMobile
from visnet.models.plain import MildnetPlain
from visnet.models.visnet import Visnet, saturating_norm


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def visnet() -> Visnet:
    with torch.device("meta"):
        model = Visnet()
    model.to_empty(device="cpu")
    noise = torch.randn(65_537, generator=torch.Generator().manual_seed(0))
    for value in model.parameters():  # drawing 187 million numbers would take seconds
        value.data = (
            (noise / value[0].numel() ** 0.5).repeat(value.numel() // len(noise) + 1)[: value.numel()].view_as(value)
        )
    model.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
    return model.eval()


@pytest.mark.parametrize(
    ("model", "everything", "trainable"),
    [
        (lambda: Visnet(), 187_521_024, 187_521_024),
        (lambda: MildnetMobile(), 6_343_872, 6_321_984),  # as the source means it: five taps
        (lambda: MildnetPlain(), 473_384, 472_408),
        (lambda: MildnetMobile(skips=False), 5_328_064, 5_306_176),  # as the source runs it: taps thrown away
    ],
)
def test_parameters_are_those_of_the_sources(model: object, everything: int, trainable: int) -> None:
    with torch.device("meta"):
        assert parameter_counts(model()) == (everything, trainable)  # type: ignore[operator]


@pytest.mark.parametrize("name", zoo.names())
def test_every_entry_builds_and_runs_on_meta(name: str) -> None:
    entry = zoo.entry(name)
    with torch.device("meta"):
        model = ARCHITECTURES[entry.architecture.kind](**entry.architecture.parameters)
        out = model(torch.empty(2, 3, entry.side_px, entry.side_px))
    assert out.shape[0] == 2
    assert out.ndim == 2
    assert entry.loss.function()(torch.rand(3, 4), torch.tensor([[0, 1, 2]]), torch.tensor([0, 0, 1])).shape == (1,)


def test_visnet_has_the_released_shapes() -> None:
    with torch.device("meta"):
        model = Visnet()
        seen = {}
        for name in ("features", "shallow_4x.1", "shallow_4x.4", "shallow_8x.1", "shallow_8x.4", "embedding"):
            part = model.get_submodule(name)
            part.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, list(out.shape[1:])))
        model(torch.empty(2, 3, 224, 224))
    assert seen == {
        "features": [512, 7, 7],
        "shallow_4x.1": [96, 15, 15],
        "shallow_4x.4": [96, 5, 5],
        "shallow_8x.1": [96, 8, 8],
        "shallow_8x.4": [96, 5, 5],
        "embedding": [4096],
    }
    assert model.embedding.in_features == 8896


def test_saturating_norm_is_the_cross_channel_norm_of_the_source() -> None:
    x = torch.randn(4, 4096, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.0], [1e-3], [1.0], [50.0]])
    wide = nn.LocalResponseNorm(8191, 8191.0, 0.5, 1.0)(x[:, :, None, None])[:, :, 0, 0]
    torch.testing.assert_close(saturating_norm(x), wide, rtol=1e-5, atol=1e-6)


def test_visnet_embeds_a_photo_of_any_side(visnet: Visnet) -> None:
    photos = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out = visnet(photos)
        mirrored = visnet(photos.flip(1))
    assert out.shape == (2, 4096)
    assert bool(((out.norm(dim=1) > 0) & (out.norm(dim=1) < 1)).all())
    assert not torch.allclose(out, mirrored, atol=1e-6)  # the channels' order matters
    assert not torch.allclose(out[0], out[1], atol=1e-6)


def test_visnet_shallow_paths_see_bgr_in_0_to_255(visnet: Visnet) -> None:
    photo = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    seen = []
    hook = visnet.shallow_4x.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        visnet(photo)
    hook.remove()
    torch.testing.assert_close(seen[0][:, 0], photo[:, 2] * 255)
    torch.testing.assert_close(seen[0][:, 2], photo[:, 0] * 255)


def test_visnet_takes_vgg16_through_fc7(visnet: Visnet) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in torchvision.models.vgg16().state_dict().items()}
    state = {name: torch.tensor(float(at)).expand(shape) for at, (name, shape) in enumerate(shapes.items())}
    fc8, heads = visnet.fc8.weight.clone(), visnet.embedding.weight.clone()
    visnet.load_trunk(state)
    places = {
        "features.0.weight": "features.0.weight",
        "fc6.bias": "classifier.0.bias",
        "fc7.weight": "classifier.3.weight",
    }
    for ours, theirs in places.items():
        value = visnet.get_parameter(ours)
        assert bool((value == list(shapes).index(theirs)).all()), ours
    assert torch.equal(fc8, visnet.fc8.weight)
    assert torch.equal(heads, visnet.embedding.weight)
    with pytest.raises(ValueError, match=r"no VGG16: 2 of its 30 tensors are missing, first 'fc6.bias'"):
        visnet.load_trunk({name: value for name, value in state.items() if "classifier.0" not in name})
    with pytest.raises(ValueError, match=r"no VGG16: 'fc7.bias' is \[7\], must be \[4096\]"):
        visnet.load_trunk({**state, "classifier.3.bias": torch.zeros(7)})


@pytest.mark.parametrize("side_px", [64, 97, 128])
def test_mobilenet_gives_unit_vectors_at_any_side(side_px: int) -> None:
    model = zoo.build_model(zoo.entry("mildnet_mobilenet"), seed=0).eval()
    with torch.inference_mode():
        out = model(torch.rand(2, 3, side_px, side_px))
    assert out.shape == (2, 1024)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_mobilenet_has_the_taps_of_the_source() -> None:
    with torch.device("meta"):
        model = MildnetMobile()
        maps: list[list[int]] = []
        for block in model.blocks:
            block["depthwise"].register_forward_hook(lambda _, __, out: maps.append(list(out.shape[1:])))
        model(torch.empty(1, 3, 224, 224))
    tapped = [maps[at] for at in (0, 1, 3, 5, 11)]
    assert tapped == [[32, 112, 112], [64, 56, 56], [128, 28, 28], [256, 14, 14], [512, 7, 7]]
    assert model.hidden.in_features == 2016


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_photo_too_small_is_refused(kind: str) -> None:
    with torch.device("meta"):
        model = ARCHITECTURES[kind]()
        with pytest.raises(ValueError, match="must be at least 64 pixels"):
            model(torch.empty(1, 3, 63, 100))


def test_weights_are_drawn_from_the_seed_alone() -> None:
    entry = zoo.entry("mildnet_mobilenet")
    state = torch.random.get_rng_state()
    one = weights.digest(zoo.build_model(entry, seed=1).state_dict())
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    assert weights.digest(zoo.build_model(entry, seed=1).state_dict()) == one
    assert weights.digest(zoo.build_model(entry, seed=2).state_dict()) != one


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


# --- the zoo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_survives_being_written(name: str) -> None:
    entry = zoo.entry(name)
    assert zoo.parse(entry.toml(), "written") == entry
    assert entry.name == name
    assert entry.departs


TEXT = zoo.entry("mildnet_mobilenet").toml()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr = 0.001", 'lr = "fast"', r"own.toml: \[optimizer\]: lr must be a number, is 'fast'"),
        ("lr = 0.001", "lr = true", r"\[optimizer\]: lr must be a number, is True"),
        ("lr = 0.001", "lr = nan", r"\[optimizer\]: lr must be above 0 and at most 1e\+06, is nan"),
        ("lr = 0.001", "", r"\[optimizer\]: lacks 'lr', a number"),
        ("margin", "margn", r"\[loss\] \(sq_hinge\): unknown key 'margn'; did you mean 'margin'\?"),
        ("margin", "alpha", r"\[loss\] \(sq_hinge\): unknown key 'alpha'; allowed are margin, negatives"),
        ('negatives = "batch"', 'negatives = "hard"', r"negatives must be one of 'given', 'batch', is 'hard'"),
        ('name = "sq_hinge"', 'name = "sqhinge"', r"name 'sqhinge' is unknown; did you mean 'sq_hinge'"),
        ('name = "adamw"', 'name = "adam"', r"name must be one of 'sgd', 'adamw', is 'adam'"),
        ("hidden = 1024", "hidden = 10.5", r"\[architecture\] \(mildnet_mobile\): hidden must be a whole number"),
        (
            'kind = "mildnet_mobile"',
            "kind = []",
            r"kind \[\] is unknown; .*allowed are mildnet_mobile, mildnet_plain, visnet",
        ),
        ("side_px = 128", "side_px = 32", r"own.toml: side_px must be at least 64, is 32"),
        ("side_px = 128", "sidepx = 128", r"unknown key 'sidepx'; did you mean 'side_px'"),
        ("[schedule]", "[scheduler]", r"unknown key 'scheduler'; did you mean 'schedule'"),
        ("[loss]", "[loss", r"own.toml: no TOML"),
    ],
)
def test_a_bad_toml_is_refused_in_one_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match=said) as caught:
        zoo.parse(TEXT.replace(old, new, 1), "own.toml")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="no model is called 'mildnet_mobilnet'; did you mean 'mildnet_mobilenet'"):
        zoo.entry("mildnet_mobilnet")
    with pytest.raises(ValueError, match=r"nowhere.toml: cannot be read"):
        zoo.entry("/nowhere.toml")


def test_an_entry_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace('name = "mildnet_mobilenet"\n', "", 1).replace("hidden = 1024", "hidden = -1"))
    entry = zoo.entry(str(path))
    assert entry.name == "mine"
    with pytest.raises(ValueError, match=r"zoo entry mine: \[architecture\] \(mildnet_mobile\)"):
        zoo.build_model(entry, seed=0)


def test_the_toml_files_name_no_default_by_accident() -> None:
    for name in zoo.names():
        document = tomllib.loads((Path(zoo.__file__).parent / f"{name}.toml").read_text())
        assert "name" not in document, "the file's name is the entry's"


# --- weights on disk -------------------------------------------------------------------------------------------------

SMALL = TEXT.replace("hidden = 1024", "hidden = 8").replace("embedding = 1024", "embedding = 16")


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
    wider = SMALL.replace("embedding = 16", "embedding = 17")
    tensors.write_bytes(whole)
    (folder / "model.toml").write_text(wider)
    refused(r"tensor 'embedding.(bias|weight)' is float32 \[16.*\]; MildnetMobile wants float32 \[17.*\]")
    (folder / "model.toml").write_text(zoo.entry("visnet").toml())
    refused(r"its tensors are not those of Visnet: \d+ missing, first .*; \d+ unexpected")


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
        with pytest.raises(ValueError, match=rf"zoo entry mildnet_mobilenet: weights .*{said}.*allowed are 'imagenet'"):
            zoo.build_model(bad, seed=0)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    from visnet.models.pretrained import load_pretrained

    with torch.device("meta"):
        model = Visnet()
    with pytest.raises(ValueError, match=r"vgg16-397923af.pth could not be downloaded") as caught:
        load_pretrained(model, "imagenet", "zoo entry visnet")
    said = str(caught.value)
    assert f"put that file at {tmp_path}/hub/checkpoints/vgg16-397923af.pth" in said
    assert "'none' or the path" in said
    assert "\n" not in said
    with torch.device("meta"):
        mobile = MildnetMobile()
    with pytest.raises(ValueError, match="torchvision has none for MildnetMobile"):
        load_pretrained(mobile, "imagenet", "x")


# --- what goes in ----------------------------------------------------------------------------------------------------


def test_photos_are_read_together_and_checked() -> None:
    class Many(torch.utils.data.Dataset[torch.Tensor]):
        asked: list[list[int]] = []  # noqa: RUF012

        def __getitems__(self, rows: list[int]) -> list[torch.Tensor]:
            self.asked.append(rows)
            return [torch.full((3, 4, 4), row, dtype=torch.uint8) for row in rows]

    assert stack(Many(), [3, 1])[:, 0, 0, 0].tolist() == [3, 1]
    assert Many.asked == [[3, 1]]
    good = torch.zeros(3, 4, 4, dtype=torch.uint8)
    for bad in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="photo 1 of the dataset is"):
            stack([good, bad], [0, 1])  # type: ignore[arg-type]


def test_photos_become_floats_in_0_to_1() -> None:
    photos = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    for channels_last in (True, False):
        assert as_floats(photos, channels_last=channels_last).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])
