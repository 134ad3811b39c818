"""catalog_embeddings under another model: made beside what is there, and switched to when whole."""

import shutil
from pathlib import Path

from tests.refreshing import put_model, refresh
from tests.workspace import report
from visnet import tables


def test_another_models_vectors_are_made_beside_and_what_a_killed_run_made_is_kept(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    other = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(other, "catalog_embeddings")
    whole = tables.opened(other / "data/catalog_embeddings/embeddings.lance")
    tables.put(out / "next.lance", "crop_id", whole.to_table(limit=20))
    made = {path.name for path in (out / "next.lance/data").iterdir()}
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    assert made < {path.name for path in (out / "embeddings.lance/data").iterdir()}
    said = report(shop, "catalog_embeddings")
    assert (said["added"], said["changed"], said["unchanged"]) == (0, 54, 0)
    assert said["digest"] == tables.digest(other / "data/catalog_embeddings/embeddings.lance", "crop_id")


def test_a_model_change_that_is_undone_leaves_nothing(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    before = tables.digest(out / "embeddings.lance", "crop_id")
    shutil.copytree(out / "embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    assert tables.digest(out / "embeddings.lance", "crop_id") == before


def test_a_switch_of_models_that_was_cut_in_two_is_ended(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    wanted = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(wanted, "catalog_embeddings")
    (out / "embeddings.lance").rename(out / "previous.lance")
    shutil.copytree(wanted / "data/catalog_embeddings/embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    said = report(shop, "catalog_embeddings")
    assert (said["changed"], said["unchanged"]) == (0, 54), "nothing was embedded again"
