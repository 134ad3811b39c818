"""catalog_embeddings under another model: made beside what is there, and switched to when whole."""

import shutil
from pathlib import Path

from PIL import Image

from tests.apart import within
from tests.refreshing import put_model, refresh
from tests.workspace import report
from visnet.commands import similar
from visnet.embedding.crop_dataset import square
from visnet.embedding.embed import embed
from visnet.embedding.model_id import model_id, precision_of
from visnet.serving import catalog
from visnet.storage import atomic
from visnet.storage.table import Table
from visnet.zoo import weights


def test_another_models_vectors_are_made_beside_and_what_a_killed_run_made_is_kept(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    other = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(other, "catalog_embeddings")
    whole = Table(other / "data/catalog_embeddings/embeddings.lance").opened()
    Table(out / "next.lance", "crop_id").put(whole.to_table(limit=20))
    made = {path.name for path in (out / "next.lance/data").iterdir()}
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"checksums.json", "embeddings.lance"}
    assert made < {path.name for path in (out / "embeddings.lance/data").iterdir()}
    said = report(shop, "catalog_embeddings")
    assert (said["added"], said["changed"], said["unchanged"]) == (0, 54, 0)
    assert said["digest"] == Table(other / "data/catalog_embeddings/embeddings.lance", "crop_id").digest()


def test_a_model_change_that_is_undone_leaves_nothing(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    before = Table(out / "embeddings.lance", "crop_id").digest()
    shutil.copytree(out / "embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"checksums.json", "embeddings.lance"}
    assert Table(out / "embeddings.lance", "crop_id").digest() == before


def test_a_switch_of_models_that_was_cut_in_two_is_ended(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    wanted = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(wanted, "catalog_embeddings")
    atomic.remove(out / "embeddings.lance")  # where two names cannot change places, there is a moment without it
    shutil.copytree(wanted / "data/catalog_embeddings/embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"checksums.json", "embeddings.lance"}
    said = report(shop, "catalog_embeddings")
    assert (said["changed"], said["unchanged"]) == (0, 54), "nothing was embedded again"


def asked_for(shop: Path, precision: str) -> None:
    params = shop / "params.toml"
    lines = [line for line in params.read_text().splitlines() if not line.startswith("precision")]
    lines.insert(lines.index("[catalog_embeddings]") + 1, f'precision = "{precision}"')
    params.write_text("\n".join(lines) + "\n")
    refresh(shop, "catalog_embeddings", "knn_results", "publish")


def test_another_precision_is_another_model_and_queries_follow_it(shop: Path) -> None:
    weights_digest = model_id(weights.digest(weights.load(shop / "data/trained_model")[0].state_dict()), "fp32")
    asked_for(shop, "fp32")
    assert report(shop, "publish")["model"] == weights_digest
    asked_for(shop, "auto")
    said = report(shop, "catalog_embeddings")
    assert (said["precision"], said["unchanged"]) == ("fp32", 54), "whatever is fastest here, what stands stays"
    asked_for(shop, "bf16")
    said = report(shop, "catalog_embeddings")
    assert (said["precision"], said["changed"], said["unchanged"]) == ("bf16", 54, 0)
    assert said["model"] == report(shop, "publish")["model"] == model_id(weights_digest, "bf16") != weights_digest
    assert report(shop, "publish")["published"]
    asked_for(shop, "auto")
    said = report(shop, "catalog_embeddings")
    assert (said["precision"], said["unchanged"]) == ("bf16", 54)
    with catalog.open_current(shop / "data") as version:
        photo = Table(version.crops).read(["crop_id", "image", "product_id"], "side = 'shop'").to_pylist()[0]
        stored, model = version.vectors(), weights.load(version.trained_model)[0]
    (shop / "asked.jpg").write_bytes(photo["image"])
    with within(shop):
        answer = similar.answer(Path("asked.jpg"), 1, None, None, Path("answer.png")).splitlines()[1]
    assert answer.split()[1] == photo["product_id"]
    pixels = [square(Image.open(shop / "asked.jpg"), 64)]
    half, full = (next(embed(model, pixels, batch=1, precision=p))[1] for p in (precision_of(stored.model), "fp32"))
    assert (half - stored.at([photo["crop_id"]])).norm() < (full - stored.at([photo["crop_id"]])).norm()
