"""A catalog is searchable without triplets, labels or training: from a frozen entry to what is served."""

from pathlib import Path

import pytest

from tests import learning
from tests.apart import within
from tests.workspace import report
from visnet import zoo
from visnet.commands import similar
from visnet.stages import trained_model


def test_a_frozen_entry_needs_no_triplets_and_its_answers_are_served(learnable: Path, tmp_path: Path) -> None:
    shop = learning.copy(learnable, tmp_path / "shop")
    learning.setting(shop, "[triplets]\n", '[triplets]\nsampler = "none"\n')
    learning.setting(shop, 'config = "tiny.toml"\nepochs = 2\n', 'config = "efficientnet_lite0_frozen"\nside_px = 64\n')
    learning.run(shop, "triplets", "trained_model")
    learning.evaluate(shop)
    learning.run(shop, "publish")
    trained, evaluated = report(shop, "trained_model"), report(shop, "evaluation")
    assert report(shop, "triplets")["triplets"] == 0
    assert (trained["config"], trained["dimensions"], trained["photos"]) == ("efficientnet_lite0_frozen", 256, 24)
    assert evaluated["triplet_accuracy"] is None
    assert evaluated["augmented_recall_at_1"] is not None
    assert evaluated["frozen_triplet_accuracy"] == evaluated["triplet_accuracy"]
    assert evaluated["frozen_recall_at_1"] == evaluated["recall_at_1"]
    assert evaluated["recall_at_1_above_frozen_high"] == 0, "it is the frozen trunk itself"
    assert report(shop, "knn_results")["self_hit_share"] == 1.0
    before = trained["digest"]
    learning.run(shop, "trained_model")
    assert report(shop, "trained_model")["digest"] == before
    with within(shop):
        answer = similar.answer(Path("images/0-0-0.png"), 3, None, None, Path("answer.png"))
    assert answer.splitlines()[1].split()[1] == "0-0", "a photo of the catalog finds its own product first"


def test_there_is_no_way_back_to_weights_that_nobody_has_trained() -> None:
    params = trained_model.Params(config="efficientnet_lite0", weights="none", interpolate=True)
    with pytest.raises(ValueError, match=r"\[trained_model\] interpolate: efficientnet_lite0 begins with no pretrain"):
        trained_model.changed(zoo.entry("efficientnet_lite0"), params)
    assert trained_model.changed(zoo.entry("efficientnet_lite0"), trained_model.Params(interpolate=True))
