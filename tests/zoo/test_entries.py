"""The zoo: every network of the lineage under its own name, with its source's sizes and settings."""

import dataclasses
import math
import time
import tomllib
from pathlib import Path

import pytest
import torch
from torchvision.models import get_weight

from visnet import zoo
from visnet.models import ARCHITECTURES, parameter_counts
from visnet.models.wheels import packaged
from visnet.zoo import weights

# All and trainable parameters, as Keras counts them.
COUNTS = {
    # gofynd/mildnet, its 25 configs
    "alexnet": (53_108_288, 53_108_288),
    "mildnet": (21_927_744, 20_192_256),
    "ranknet": (68_308_224, 68_308_224),
    "vanila_vgg16": (14_714_688, 14_714_688),
    "visnet_fynd": (62_998_528, 62_998_528),
    "visnet_lrn2d": (66_537_472, 66_537_472),
    "mildnet_skip_1": (21_796_672, 20_061_184),
    "mildnet_skip_2": (21_534_528, 19_799_040),
    "mildnet_skip_3": (21_010_240, 19_274_752),
    "mildnet_skip_4": (19_961_664, 18_226_176),
    "mildnet_1024_512": (16_747_840, 15_012_352),
    "mildnet_512_512": (15_731_520, 13_996_032),
    "mildnet_512_no_dropout": (15_731_520, 13_996_032),
    "mildnet_angular_1": (21_927_744, 20_192_256),
    "mildnet_angular_2": (21_927_744, 20_192_256),
    "mildnet_contrastive": (21_927_744, 20_192_256),
    "mildnet_hinge_new": (21_927_744, 20_192_256),
    "mildnet_lossless": (21_927_744, 20_192_256),
    "mildnet_all_trainable": (21_927_744, 21_927_744),
    "mildnet_cropped": (21_927_744, 20_192_256),
    "mildnet_mobilenet": (6_343_872, 6_321_984),  # as the source means it: five taps
    "mildnet_vgg16_big": (42_940_416, 41_204_928),
    "mildnet_vgg19": (27_237_440, 25_501_952),
    "mildnet_without_skip": (16_289_600, 16_289_600),
    "mildnet_without_skip_big": (19_961_664, 19_961_664),
    # Flipkart, and those before and after
    "visnet": (187_521_024, 187_521_024),
    "visnet_alexnet": (110_128_704, 110_128_704),
    "deep_ranking": (86_269_504, 86_269_504),
    "cardigan": (42_559_744, 27_835_456),
    "cardigan_snippet": (40_932_672, 26_216_960),
    "blog": (163_661_824, 163_661_824),
    # ours
    "mildnet_small": (473_384, 472_408),
    "mildnet_small_hinge": (473_384, 472_408),
    "resnet18": (11_317_441, 11_307_841),
    "resnet50": (24_610_241, 24_557_121),
    "convnext_tiny": (28_213_856, 28_213_856),
    "efficientnet_v2_s": (20_987_232, 20_833_360),
    "mobilenet_v3_large": (4_554_368, 4_529_968),
    "vit_s_16": (21_813_504, 21_813_504),
    "vit_b_16": (86_192_384, 86_192_384),
    "efficientnet_lite0": (3_740_960, 3_338_656),
    "efficientnet_lite0_colours": (3_796_256, 3_666_656),
    "efficientnet_lite0_frozen": (3_822_880, 0),
    "efficientnet_lite2": (5_197_105, 4_984_465),
    "efficientnet_lite2_frozen": (5_287_216, 0),
    "convnext_v2_tiny": (28_260_224, 28_260_224),
    "dinov2_vit_s_14": (22_204_032, 22_204_032),
    "dinov2_vit_b_14": (86_973_440, 86_973_440),
    "dinov3_vit_s_16": (21_734_784, 21_734_784),
    "siglip2_vit_b_16": (93_277_952, 93_277_952),
}

# gofynd/mildnet: loss, learning rate, triplets per step, epochs.
FYND = {
    "alexnet": ("hinge", 0.001, 32, 20),
    "mildnet": ("contrastive", 0.001, 16, 30),
    "ranknet": ("contrastive", 0.001, 16, 30),
    "vanila_vgg16": ("hinge", 0.001, 16, 8),
    "visnet_fynd": ("hinge", 0.001, 16, 20),
    "visnet_lrn2d": ("hinge", 0.001, 16, 20),
    "mildnet_skip_1": ("hinge", 0.001, 32, 20),
    "mildnet_skip_2": ("hinge", 0.001, 32, 20),
    "mildnet_skip_3": ("hinge", 0.001, 32, 20),
    "mildnet_skip_4": ("hinge", 0.001, 16, 20),
    "mildnet_1024_512": ("hinge", 0.001, 16, 20),
    "mildnet_512_512": ("hinge", 0.001, 16, 20),
    "mildnet_512_no_dropout": ("hinge", 0.0001, 16, 20),
    "mildnet_angular_1": ("angular", 0.001, 16, 6),
    "mildnet_angular_2": ("n_pair_angular", 0.001, 16, 6),
    "mildnet_contrastive": ("contrastive", 0.001, 16, 8),
    "mildnet_hinge_new": ("hinge", 0.0001, 16, 18),
    "mildnet_lossless": ("lossless", 0.001, 16, 6),
    "mildnet_all_trainable": ("hinge", 0.001, 32, 20),
    "mildnet_cropped": ("hinge", 0.0001, 16, 20),
    "mildnet_mobilenet": ("hinge", 0.001, 16, 20),
    "mildnet_vgg16_big": ("hinge", 0.001, 16, 8),
    "mildnet_vgg19": ("contrastive", 0.001, 16, 20),
    "mildnet_without_skip": ("hinge", 0.001, 16, 8),
    "mildnet_without_skip_big": ("hinge", 0.001, 16, 12),
}


def on_meta(entry: zoo.Entry) -> torch.nn.Module:
    with torch.device("meta"):
        return ARCHITECTURES[entry.architecture.kind](**entry.architecture.parameters)


def test_every_model_of_the_lineage_is_here() -> None:
    assert zoo.names() == sorted(COUNTS)
    assert len(FYND) == 25


@pytest.mark.parametrize("name", zoo.names())
def test_every_entry_has_its_sources_parameters_and_runs_at_its_side(name: str) -> None:
    entry = zoo.entry(name)
    model = on_meta(entry)
    assert parameter_counts(model) == COUNTS[name]
    out = model(torch.empty(2, 3, entry.side_px, entry.side_px, device="meta"))
    assert out.shape == (2, model.dimensions)
    assert out.dtype == torch.float32
    if entry.weights == "package":
        assert packaged(model.network).is_file()
    else:
        assert entry.weights == "none" or model.imagenet is not None


def test_mobilenet_as_its_source_runs_it_has_no_taps() -> None:
    entry = zoo.entry("mildnet_mobilenet")
    bare = dataclasses.replace(
        entry, architecture=zoo.Architecture(kind="tapped", parameters={**entry.architecture.parameters, "taps": ()})
    )
    assert parameter_counts(on_meta(bare)) == (5_328_064, 5_306_176)


@pytest.mark.parametrize(
    ("name", "torchvisions", "classifier"),
    [
        ("resnet18", "ResNet18", 512 * 1000 + 1000),
        ("resnet50", "ResNet50", 2048 * 1000 + 1000),
        ("convnext_tiny", "ConvNeXt_Tiny", 768 * 1000 + 1000),
        ("efficientnet_v2_s", "EfficientNet_V2_S", 1280 * 1000 + 1000),
        ("mobilenet_v3_large", "MobileNet_V3_Large", 1280 * 1000 + 1000),
        ("vit_b_16", "ViT_B_16", 768 * 1000 + 1000),
    ],
)
def test_modern_networks_are_torchvisions_too_but_for_the_classifier(
    name: str, torchvisions: str, classifier: int
) -> None:
    model = on_meta(zoo.entry(name))
    powers = [p for part, p in model.named_parameters() if part.endswith(".power")]
    ours = sum(p.numel() for p in (*model.embedding.parameters(), *powers))
    published = get_weight(f"{torchvisions}_Weights.IMAGENET1K_V1").meta["num_params"]
    assert COUNTS[name][1] - ours == published - classifier


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet50", "timm/resnet50.tv2_in1k"),
        ("convnext_v2_tiny", "timm/convnextv2_tiny.fcmae_ft_in22k_in1k"),
        ("dinov2_vit_s_14", "timm/vit_small_patch14_dinov2.lvd142m"),
        ("dinov2_vit_b_14", "timm/vit_base_patch14_dinov2.lvd142m"),
        ("dinov3_vit_s_16", "timm/vit_small_patch16_dinov3.lvd1689m"),
        ("siglip2_vit_b_16", "timm/vit_base_patch16_siglip_224.v2_webli"),
    ],
)
def test_an_entry_says_in_a_line_what_to_download_when_it_cannot(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    entry = zoo.entry(name)
    began = time.monotonic()
    with torch.device("meta"), pytest.raises(ValueError, match=rf"zoo entry {name}: weights 'imagenet': ") as caught:
        zoo.build_model(entry, seed=0)
    assert time.monotonic() - began < 10
    assert f"model.safetensors of {file} on the Hugging Face hub could not be downloaded" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["efficientnet_lite0_frozen", "efficientnet_lite2_frozen"])
def test_a_packages_network_tells_shapes_apart_without_training(name: str) -> None:
    model = zoo.build_model(zoo.entry(name), seed=1).eval()
    rows, columns = torch.meshgrid(torch.arange(160.0), torch.arange(130.0), indexing="ij")
    discs = [((rows - y) ** 2 + (columns - x) ** 2 < 30**2) for y, x in ((60, 50), (100, 80))]
    photos = torch.stack([*discs, rows % 20 < 10]).float()[:, None].expand(-1, 3, -1, -1) * 0.6 + 0.2
    with torch.inference_mode():
        out = zoo.trunk(name, "package")(photos)
        torch.testing.assert_close(model(photos).norm(dim=1), torch.ones(3))
    disc, moved, stripes = out
    assert disc @ moved > 0.7 > disc @ stripes


@pytest.mark.parametrize("name", FYND)
def test_fynds_settings_are_its_configs(name: str) -> None:
    entry = zoo.entry(name)
    loss, lr, triplets, epochs = FYND[name]
    assert (entry.loss.name, entry.optimizer.lr, entry.batches.triplets, entry.epochs) == (loss, lr, triplets, epochs)
    assert entry.loss.parameters.get("margin", 1.0) == 1.0
    if name == "mildnet_vgg16_big":
        assert (entry.optimizer.name, entry.optimizer.momentum) == ("rmsprop", 0.0)
    else:
        assert (entry.optimizer.name, entry.optimizer.momentum, entry.optimizer.nesterov) == ("sgd", 0.9, True)
    assert (entry.schedule.name, entry.optimizer.weight_decay, entry.rounds.every_epochs) == ("constant", 0.0, 0)
    assert entry.side_px == (227 if name == "alexnet" else 224)
    assert entry.weights == ("none" if name in ("alexnet", "mildnet_mobilenet") else "imagenet")
    augment = entry.augment
    assert (augment.flip, augment.flip_vertical, augment.zoom, augment.rotation_deg) == (0.5, 0.5, 0.2, 30.0)
    assert math.radians(augment.shear_deg) == pytest.approx(0.2, abs=1e-5)
    assert (augment.fill, augment.crop, augment.brightness) == ("edge", 0.0, 0.0)


def test_flipkarts_rates_are_its_sums_over_a_batch() -> None:
    for name in ("visnet", "visnet_alexnet"):
        entry = zoo.entry(name)
        assert entry.optimizer.lr == pytest.approx(0.01 * entry.batches.triplets)
        assert entry.loss.parameters == {"margin": 0.03**2, "negatives": "given"}


# --- reading and writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_survives_being_written(name: str) -> None:
    entry = zoo.entry(name)
    assert zoo.parse(entry.toml(), "written") == entry
    assert entry.name == name
    assert entry.source
    assert entry.departs
    assert all(sentence.endswith(".") for sentence in entry.departs)


def test_the_toml_files_name_no_default_by_accident() -> None:
    for name in zoo.names():
        document = tomllib.loads((Path(zoo.__file__).parent / f"{name}.toml").read_text())
        assert "name" not in document, "the file's name is the entry's"


def test_weights_are_drawn_from_the_seed_alone() -> None:
    for entry in (
        zoo.entry("mildnet_small"),
        dataclasses.replace(zoo.entry("mobilenet_v3_large"), weights="none"),
    ):
        state = torch.random.get_rng_state()
        one = weights.digest(zoo.build_model(entry, seed=1).state_dict())
        assert torch.equal(state, torch.random.get_rng_state())
        torch.rand(3)
        assert weights.digest(zoo.build_model(entry, seed=1).state_dict()) == one
        assert weights.digest(zoo.build_model(entry, seed=2).state_dict()) != one
