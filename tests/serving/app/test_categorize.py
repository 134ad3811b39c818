"""What a photo shows, over HTTP: by the model that is published with the catalog, and by no other."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.apart import within
from tests.refreshing import refresh
from tests.refreshing import served as served_number
from tests.serving.app.running import photo_of, served, whole
from visnet.categorizing.attention_picture import MANY_PX, panels
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.categorizing.files import TODAY
from visnet.categorizing.retelling import Retelling
from visnet.client import Client, ServiceError
from visnet.commands import deploy, verify
from visnet.errors import Damaged, NotReady
from visnet.photos import codec
from visnet.pipeline.log import SILENT
from visnet.serving import catalog, versions
from visnet.sheets.contact_sheet import sheet
from visnet.taxonomy.changes import TreeChanges
from visnet.taxonomy.tree import Taxonomy

TAXONOMY = Taxonomy.of(["Bags/Totes", "Men/Ethnic Wear/Jackets", "Men/Western Wear/Jackets"])
NETWORK, SIDE_PX = "tf_efficientnet_lite0", 64


def put(shop: Path, sure: float = 0.3) -> Categorizer:
    """Leave untrained models where the stage leaves trained ones; of two, one is chosen, and has a second network."""
    folder = shop / "data/taxonomy_model"
    shutil.rmtree(folder, ignore_errors=True)  # its files are linked to a version's
    folder.mkdir()
    networks = {head: built(TAXONOMY, head, NETWORK, 14, seed=1).eval() for head in ("leaves", "attention")}  # type: ignore[arg-type]
    settings = PathSettings(NETWORK, SIDE_PX, 14, "attention", sure, {"leaves": 1.0, "together": 2.0})
    again = built(TAXONOMY, "attention", NETWORK, 14, seed=2).eval()
    made = Categorizer(TAXONOMY, networks, settings, again)  # type: ignore[arg-type]
    made.save(folder)
    return made


@pytest.fixture(scope="module")
def telling(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after models of category paths were published."""
    shop = whole(published, tmp_path_factory.mktemp("telling"))
    put(shop)
    refresh(shop, "publish")
    return shop


@pytest.fixture(scope="module")
def http(telling: Path) -> Iterator[httpx.Client]:
    with served(telling / "data") as http:
        yield http


@pytest.fixture(scope="module")
def client(http: httpx.Client) -> Iterator[Client]:
    with Client(str(http.base_url)) as client:
        yield client


def test_only_the_networks_that_answer_are_published(telling: Path) -> None:
    with catalog.open_current(telling / "data") as version:
        assert version.taxonomy_model is not None
        assert {path.name for path in version.taxonomy_model.iterdir()} == {
            "models.toml", "taxonomy.json", "attention.safetensors", "again.safetensors",
        }  # fmt: skip
        assert set(Categorizer.load(version.taxonomy_model).networks) == {"attention"}


def test_a_photo_s_answer_is_that_of_the_published_model(client: Client, telling: Path) -> None:
    photos = [photo_of(telling, name) for name in ("p000-0-0", "p003-0-1", "p005-0-0")]
    model = Categorizer.load(telling / "data/taxonomy_model")
    wanted = model.categorize([model.square(codec.decode(photo)) for photo in photos])
    found = client.categorize(*photos)
    assert found.taxonomy == client.catalog().taxonomy == TAXONOMY.version
    assert found.lineage.catalog_version == served_number(telling)
    for one, answer in zip(found.photos, wanted, strict=True):
        assert one.category == answer.answer
        assert "/".join(level.name for level in one.levels) == answer.path
        assert [level.probability for level in one.levels] == pytest.approx(answer.level_probabilities, abs=1e-4)
        assert one.told == len([level for level in answer.answer.split("/") if level])
    (alone,) = client.categorize(photos[1]).photos
    together = found.photos[1]
    assert alone.category == together.category
    assert [level.probability for level in alone.levels] == pytest.approx(
        [level.probability for level in together.levels], abs=1e-4
    )


def test_where_the_tree_is_another_than_the_model_s_the_answer_is_of_today_s(telling: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(telling, tmp_path / "shop", symlinks=True))
    tree = Taxonomy.of(["Bags/Totes", "Gents/Ethnic Wear/Jackets", "Gents/Western Wear/Jackets"])
    retelling = Retelling(TAXONOMY, tree, TreeChanges({"Men": ("Gents",)}), 0.3)
    retelling.save(shop / "data/category_paths" / TODAY)
    refresh(shop, "publish")
    assert served_number(shop) == served_number(telling) + 1
    photos = [photo_of(telling, name) for name in ("p000-0-0", "p003-0-1", "p005-0-0")]
    model = Categorizer.load(shop / "data/taxonomy_model")
    own = model.categorize([model.square(codec.decode(photo)) for photo in photos])
    with served(shop / "data") as http, Client(str(http.base_url)) as client:
        found = client.categorize(*photos)
        assert found.taxonomy == client.catalog().taxonomy == tree.version
        kept = client.search(photos[0], in_category=True).in_category
    paths = ["/".join(level.name for level in one.levels) for one in found.photos]
    assert paths == [answer.path.replace("Men/", "Gents/") for answer in own]
    assert kept is not None
    assert (kept.taxonomy, kept.category.partition("/")[0] in {"", "Bags", "Gents"}) == (tree.version, True)
    shutil.rmtree(shop / "data/publish")
    with within(shop):
        assert deploy.run() == "Version 1 is served"
        verify.run(SILENT)
    Retelling(tree, TAXONOMY, TreeChanges({"Gents": ("Men",)}), 0.3).save(shop / "data/category_paths" / TODAY)
    with pytest.raises(NotReady, match=r"today.json is of another taxonomy"):
        refresh(shop, "publish")


def test_where_it_looks_in_the_photo_of_a_search_is_drawn_of_what_was_searched_for(
    client: Client, telling: Path
) -> None:
    photo, model = photo_of(telling, "p000-0-0"), Categorizer.load(telling / "data/taxonomy_model")
    picture = codec.decode(photo)
    box = (picture.width // 4, 0, picture.width, picture.height // 2)
    for query, shown in ((client.search(photo), picture), (client.search(photo, box=box), picture.crop(box))):
        drawn = Image.open(io.BytesIO(client.looks(str(query.query_id))))
        (answer,) = model.categorize([model.square(shown)])
        row = panels(model, shown, answer)
        wanted = sheet([row[at : at + 2] for at in range(0, len(row), 2)], side_px=MANY_PX)
        assert drawn.size == wanted.size
        difference = np.abs(np.asarray(drawn, np.float32) - np.asarray(wanted, np.float32))
        assert difference.mean() < 2.0, "the photo was kept as JPEG"
    with pytest.raises(ServiceError, match=r"^404: "):
        client.looks("q_unknown")


def test_one_that_cannot_be_read_is_named(http: httpx.Client, telling: Path) -> None:
    files = [("photo", ("photo", data)) for data in (photo_of(telling, "p000-0-0"), b"no photo")]
    refused = http.post("/v1/categorize", files=files)
    assert (refused.status_code, "photo 2" in refused.json()["detail"]) == (415, True)
    assert http.post("/v1/categorize", files=[files[0]] * 9).status_code == 400
    assert http.post("/v1/categorize", data={"photo": ""}).status_code == 400


def test_a_version_without_a_model_says_how_to_have_one(published: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(published, tmp_path / "shop", symlinks=True))
    with catalog.open_current(shop / "data") as version:
        assert version.taxonomy_model is None
    says = r"^409: .*enabled = true in taxonomy_model\.toml"
    photo = photo_of(shop, "p000-0-0")
    with served(shop / "data") as http, Client(str(http.base_url)) as client:
        assert client.catalog().taxonomy is None
        query = client.search(photo)
        with pytest.raises(ServiceError, match=says):
            client.looks(str(query.query_id))
        with pytest.raises(ServiceError, match=says):
            client.categorize(photo)


def test_another_model_is_another_version_which_deploy_brings_back_and_verify_reads(
    telling: Path, tmp_path: Path
) -> None:
    shop = Path(shutil.copytree(telling, tmp_path / "shop", symlinks=True))
    number = served_number(shop)
    refresh(shop, "publish")
    assert served_number(shop) == number, "the same model is no news"
    put(shop, sure=0.9)
    refresh(shop, "publish")
    assert served_number(shop) == number + 1
    with within(shop):
        shutil.rmtree("data/publish")
        assert deploy.run() == "Version 1 is served"
        verify.run(SILENT)
    part = versions.folder(shop / "data/publish", 1) / "taxonomy_model/attention.safetensors"
    content = bytearray(part.read_bytes())
    content[-2] ^= 1
    part.unlink()
    part.write_bytes(content)
    with within(shop), pytest.raises(Damaged, match="its taxonomy model is another one"):
        verify.run(SILENT)
