"""A small synthetic shop: its parameters, and its photos by name."""

from pathlib import Path

from visnet.pipeline.log import SILENT
from visnet.sources import synthetic
from visnet.synthetic.assortment import Recipe
from visnet.synthetic.garments import CATEGORIES

NOWHERE = Path("not-read")

RECIPE = Recipe(seed=7, side_px=96, look_alikes=0.5)

SMALL = synthetic.Params(products=110, side_px=96)

SOME = [f"{category}-0003-{side}-2" for category in CATEGORIES for side in ("shop", "street")]


def fetched(params: synthetic.Params, names: list[str]) -> dict[str, bytes]:
    listed = dict(zip(*synthetic.listing(params, NOWHERE).photos.to_pydict().values(), strict=True))
    wanted = [(name, listed[name]) for name in names]
    return {a.photo_id: a.data or b"" for a in synthetic.fetch(params, wanted, metadata=NOWHERE, log=SILENT)}
