"""The synthetic shop: the same photos everywhere, painted as they are asked for."""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.synthetic.small import NOWHERE, RECIPE, SMALL, SOME
from visnet.pipeline.log import SILENT
from visnet.sources import PHOTOS, RECORDS, Answer, synthetic
from visnet.synthetic import scenes
from visnet.synthetic.assortment import SHARES, Recipe, product, stock
from visnet.synthetic.painter import painted
from visnet.synthetic.photos import paint


def test_tables_are_as_agreed(shop: synthetic.Listing) -> None:
    assert shop.photos.schema == PHOTOS
    assert shop.records.schema == RECORDS
    names = shop.photos["photo_id"].to_pylist()
    assert len(set(names)) == len(names)
    assert set(names) == set(shop.records["photo_id"].to_pylist())
    assert shop.dropped == {}


def test_every_category_has_products_of_both_splits(shop: synthetic.Listing) -> None:
    rows = shop.records.to_pylist()
    splits = {row["product_id"]: row["split"] for row in rows}
    assert all(splits[row["product_id"]] == row["split"] for row in rows), "a product stands in one split"
    assert len(splits) == SMALL.products
    count = Counter((product_id.split("/")[0], split) for product_id, split in splits.items())
    for category in SHARES:
        assert count[category, "train"] + count[category, "test"] >= 8
        assert min(count[category, "train"], count[category, "test"]) >= 1
    assert abs(Counter(splits.values())["test"] / SMALL.products - SMALL.test_share) < 0.08
    sides = Counter((row["product_id"], row["side"]) for row in rows)
    assert {sides[p, "shop"] for p in splits} == {2, 3, 4}
    assert {sides[p, "street"] for p in splits} == {1, 2, 3}


@pytest.mark.parametrize("test_share", [0.05, 0.8])
def test_a_category_of_the_least_size_has_both_splits_at_any_share(test_share: float) -> None:
    rows = synthetic.listing(synthetic.Params(products=88, test_share=test_share), NOWHERE).records
    seen = set(zip(rows["category"].to_pylist(), rows["split"].to_pylist(), strict=True))
    assert seen == {(category, split) for category in SHARES for split in ("train", "test")}


def test_the_same_parameters_give_the_same_bytes_in_another_process_and_order() -> None:
    here = [paint(RECIPE, name) for name in SOME]
    there = list(painted(RECIPE, SOME[::-1], processes=2))
    assert here == there[::-1]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_bytes_do_not_depend_on_pythons_hash_seed(hash_seed: str) -> None:
    code = (
        "import hashlib; from visnet.synthetic.assortment import Recipe;"
        "from visnet.synthetic.photos import paint;"
        "print(hashlib.sha256(paint(Recipe(7, 96, 0.5), 'dresses-0003-street-2')).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    root = Path(synthetic.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, check=True)
    assert said.stdout.decode().strip() == hashlib.sha256(paint(RECIPE, "dresses-0003-street-2")).hexdigest()


def test_another_seed_gives_other_photos_and_locators() -> None:
    other = Recipe(seed=8, side_px=96, look_alikes=0.5)
    assert all(paint(RECIPE, name) != paint(other, name) for name in SOME)
    one, two = (
        set(synthetic.listing(synthetic.Params(products=88, seed=s), NOWHERE).photos["locator"].to_pylist())
        for s in (7, 8)
    )
    assert not one & two


def test_a_growing_shop_keeps_what_it_had(shop: synthetic.Listing) -> None:
    larger = synthetic.listing(SMALL.model_copy(update={"products": 160}), NOWHERE).records.to_pylist()
    assert all(row in larger for row in shop.records.to_pylist())
    assert set(shop.photos["locator"].to_pylist()) < set(
        synthetic.listing(SMALL.model_copy(update={"products": 160}), NOWHERE).photos["locator"].to_pylist()
    )


def test_photos_decode_and_have_their_sizes(shop: synthetic.Listing) -> None:
    for row in shop.records.to_pylist()[::29]:
        image = Image.open(io.BytesIO(paint(RECIPE, row["photo_id"])))
        image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.size == ((96, 96) if row["side"] == "shop" else scenes.scene(RECIPE, row["photo_id"]).size)
        assert max(image.size) == (96 if row["side"] == "shop" else 144)
        assert np.asarray(image).std() > 5, "something is in the picture"


def test_fetch_answers_every_photo_once_through_its_painters(shop: synthetic.Listing) -> None:
    wanted = list(zip(*shop.photos.slice(0, 120).to_pydict().values(), strict=True))
    answers = list(synthetic.fetch(SMALL, wanted, metadata=NOWHERE, log=SILENT))
    assert [a.photo_id for a in answers] == [name for name, _ in wanted]
    assert all(a.data and a.lost is None for a in answers)
    assert answers[77] == Answer(wanted[77][0], paint(RECIPE, wanted[77][0]), None)


def children() -> set[str]:
    said = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return {line.split()[0] for line in said.stdout.splitlines() if "painter" in line}


def test_fetch_is_lazy_and_leaves_nothing_when_abandoned(shop: synthetic.Listing) -> None:
    wanted = list(zip(*shop.photos.to_pydict().values(), strict=True))
    stream = synthetic.fetch(SMALL, wanted, metadata=NOWHERE, log=SILENT)
    assert not children(), "nothing is painted before it is asked for"
    assert next(stream).data
    assert children()
    stream.close()  # type: ignore[attr-defined]
    assert not children()


def test_painters_end_when_their_parent_is_killed() -> None:
    code = (
        "import os, signal; from visnet.synthetic.assortment import Recipe; from visnet.synthetic import painter;"
        "stream = painter.painted(Recipe(7, 96, 0.5), ['tops-0001-shop-1'] * 100000, 2); next(stream);"
        "print(*[c.pid for c in stream.gi_frame.f_locals['children']], flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(synthetic.__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    pids = said.stdout.split()
    assert (said.returncode, len(pids)) == (-9, 2)
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a painter outlives its parent"
        time.sleep(0.05)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_locator_of_another_shop_is_refused(shop: synthetic.Listing) -> None:
    wanted = list(zip(*shop.photos.slice(0, 1).to_pydict().values(), strict=True))
    other = SMALL.model_copy(update={"seed": 8})
    with pytest.raises(ValueError, match="is no photo of this shop") as error:
        next(synthetic.fetch(other, wanted, metadata=NOWHERE, log=SILENT))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"products": 87}, "88"),
        ({"products": "many"}, "integer"),
        ({"shop_photos": [3, 2]}, "must be [least, most]"),
        ({"street_photos": [0, 2]}, "must be [least, most]"),
        ({"shop_photos": [2]}, "must be [least, most]"),
        ({"test_share": 1.0}, "0.8"),
        ({"look_alikes": -0.1}, "0"),
        ({"side_px": 20}, "64"),
        ({"seeds": 7}, "Extra inputs"),
    ],
)
def test_impossible_parameters_are_refused_with_the_reason(said: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match="1 validation error") as error:
        synthetic.Params.model_validate(said)
    assert word in str(error.value)
    assert next(iter(said)) in str(error.value), "the field is named"


@pytest.mark.parametrize("name", ["dresses-0012-shop", "gloves-0001-shop-1", "tops-x-shop-1", "tops-0001-back-1"])
def test_an_unknown_photo_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="they look like dresses-0012-shop-2"):
        paint(RECIPE, name)


def test_a_product_is_found_by_its_id() -> None:
    assert product(RECIPE, "hats/0070") == stock(RECIPE, "hats", 71)[70]
