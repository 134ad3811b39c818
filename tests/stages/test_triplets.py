"""Triplets by how alike photos look to a pretrained network, whose weights came with the installation."""

from pathlib import Path

import pyarrow.parquet as pq

from tests import learning
from tests.workspace import report


def test_the_deep_scorer_needs_no_download(learnable: Path, tmp_path: Path) -> None:
    shop = learning.copy(learnable, tmp_path / "shop")
    table = '[triplets]\nsampler = "biss"\nsimilarity.scorers = ["deep"]\n'
    learning.setting(shop, "[triplets]\n", table)
    learning.run(shop, "triplets")
    drawn = pq.read_table(shop / "data" / "triplets" / "train.parquet").to_pandas()
    assert report(shop, "triplets")["train"] == len(drawn) > 0
    assert (drawn["p"] != drawn["n"]).all()
