"""The methods that are held beside each other: the trained model, and what needs no training on the shop's products."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.model_id import precision_of
from visnet.embedding.vectors import Vectors
from visnet.evaluation import baselines, frozen
from visnet.pipeline.log import Log
from visnet.storage.fingerprints import fingerprint
from visnet.zoo import Entry, build_model

Baseline = Literal["frozen", "untrained", "colour_histogram"]
BASELINES: tuple[Baseline, ...] = ("frozen", "untrained", "colour_histogram")
METHODS = ("trained", *BASELINES, "random")
PROBES = 500  # shop photos that are changed, and must find themselves


@dataclass(frozen=True, eq=False)
class Searched:
    """Each method's vectors of the catalog and the test's photos, and of some shop photos that were changed.

    changed: [P, D] of the crops `probes` [P]; a method whose figures are not worth the time of these has none.
    """

    vectors: dict[str, Vectors]
    changed: dict[str, torch.Tensor]
    probes: np.ndarray


@dataclass(frozen=True, eq=False)
class Catalog:
    """What every method embeds: the crops' table, the trained model's vectors, and masks over their rows, [N] bool.

    probed: of which some are changed and must find themselves; learnt: what a frozen trunk may be fitted to.
    """

    table: Path
    trained: Vectors
    probed: np.ndarray
    learnt: np.ndarray


def searched(
    catalog: Catalog,
    model: nn.Module,
    entry: Entry,
    wanted: Collection[str],
    *,
    frozen_side_px: int | None,
    seed: int,
    log: Log,
) -> Searched:
    """Embed what the catalog holds by every method that is wanted, and by the trained model only what was changed.

    frozen_side_px: of the photos that a frozen trunk sees, None for those of `frozen.trunk`. A method that cannot be
    had here is left out, with a line that says why.
    """
    trained, precision = catalog.trained, precision_of(catalog.trained.model)
    ids = trained.rows["crop_id"].tolist()
    spread = sorted(trained.rows["crop_id"][catalog.probed], key=fingerprint)[:PROBES]
    probes = np.array(sorted(spread), dtype=object)
    photos, probed = (CropImages(catalog.table, names, entry.side_px) for names in (ids, list(probes)))
    moved = baselines.Changed(probed, seed)
    vectors, changed = {"trained": trained}, {}
    if len(probes):
        changed["trained"] = baselines.embedded(model, moved, log, precision)
    if "frozen" in wanted:
        own = frozen.is_frozen(model) and frozen_side_px in (None, entry.side_px)
        seen = trained if own else _frozen(catalog, photos, entry, frozen_side_px, seed=seed, log=log)
        vectors |= {"frozen": seen} if seen else {}
    if "untrained" in wanted:
        before = build_model(replace(entry, weights="none"), seed=seed)
        vectors["untrained"] = Vectors(trained.rows, baselines.embedded(before, photos, log, precision), "untrained")
        if len(probes):
            changed["untrained"] = baselines.embedded(before, moved, log, precision)
    if "colour_histogram" in wanted:
        coarse = [CropImages(catalog.table, names, baselines.HISTOGRAM_SIDE_PX) for names in (ids, list(probes))]
        colours = baselines.colour_histograms(coarse[0], log)
        vectors["colour_histogram"] = Vectors(trained.rows, colours, "colour_histogram")
        if len(probes):
            changed["colour_histogram"] = baselines.colour_histograms(baselines.Changed(coarse[1], seed), log)
    return Searched(vectors, changed, probes)


def _frozen(
    catalog: Catalog, photos: CropImages, entry: Entry, side_px: int | None, *, seed: int, log: Log
) -> Vectors | None:
    trained = catalog.trained
    try:
        trunk, bare = frozen.trunk(entry, side_px)
    except ValueError as error:
        log.say(f"  no frozen trunk to compare with: {error}")
        return None
    if bare.side_px != photos.side_px:
        photos = CropImages(catalog.table, trained.rows["crop_id"].tolist(), bare.side_px, keep=False)
    seen = baselines.embedded(trunk, photos, log, precision_of(trained.model))
    shop = (trained.rows["side"] == "shop").to_numpy()
    fitted_to = shop & catalog.learnt if (shop & catalog.learnt).any() else shop
    return Vectors(trained.rows, frozen.projected(seen, fitted_to, seed=seed), "frozen")
