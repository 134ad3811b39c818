"""An entry that cannot be is refused in one line, which says what is allowed."""

from pathlib import Path

import pytest

from visnet import zoo

TEXT = zoo.entry("mildnet_small_hinge").toml()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr = 0.002", 'lr = "fast"', r"own.toml: \[optimizer\]: lr must be a number, is 'fast'"),
        ("lr = 0.002", "lr = true", r"\[optimizer\]: lr must be a number, is True"),
        ("lr = 0.002", "lr = nan", r"\[optimizer\]: lr must be above 0 and at most 1e\+06, is nan"),
        ("lr = 0.002", "", r"\[optimizer\]: lacks 'lr', a number"),
        ("margin", "margn", r"\[loss\] \(sq_hinge\): unknown key 'margn'; did you mean 'margin'\?"),
        ("margin", "alpha", r"\[loss\] \(sq_hinge\): unknown key 'alpha'; allowed are margin, negatives"),
        ('negatives = "batch"', 'negatives = "harsh"', r"negatives must be one of 'given', 'batch', .*, is 'harsh'"),
        ('name = "sq_hinge"', 'name = "sqhinge"', r"name 'sqhinge' is unknown; did you mean 'sq_hinge'"),
        ('name = "adamw"', 'name = "adam"', r"name must be one of 'sgd', 'adamw', 'rmsprop', is 'adam'"),
        ("dense = [128]", "dense = [10.5]", r"\[architecture\] \(tapped\): dense must be a whole number, is 10.5"),
        (
            'trunk = "plain"',
            'trunk = "vgg11"',
            r"\(tapped\): trunk must be one of 'vgg16', 'vgg19', .*, is 'vgg11'",
        ),
        ('norm = "unit"', 'norm = "l2"', r"\(tapped\): norm must be one of 'unit', 'saturating', 'none', is 'l2'"),
        ('kind = "tapped"', "kind = []", r"kind \[\] is unknown; .*allowed are multiscale, tapped, timm"),
        ("side_px = 128", "side_px = 32", r"own.toml: side_px must be at least 64 and at most 2048, is 32"),
        ("side_px = 128", "sidepx = 128", r"unknown key 'sidepx'; did you mean 'side_px'"),
        ("products = 0", "products = 4", r"\[batches\]: needs triplets of at least 1, or products and photos"),
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
    path.write_text(TEXT.replace('name = "mildnet_small_hinge"\n', "", 1).replace("dense = [128]", "dense = [-1]"))
    entry = zoo.entry(str(path))
    assert entry.name == "mine"
    with pytest.raises(
        ValueError, match=r"zoo entry mine: \[architecture\] \(tapped\): a dense layer's width must be at least 1"
    ):
        zoo.build_model(entry, seed=0)
