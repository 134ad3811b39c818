"""proposed_boxes: what the localizer proposes in the test's street photos, and how well a search by that finds."""

from pathlib import Path

import pandas as pd

from visnet.localizing.files import is_trained
from visnet.localizing.proposed_columns import PROPOSED_COLUMNS
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report
from visnet.storage.fingerprints import fingerprint

METRICS = ("recall_at_1",)
FILE = "proposed_boxes.parquet"


class Params(Frozen):
    """Nothing can be chosen."""


def build(
    raw_images: Path,
    crops: Path,
    trained_model: Path,
    catalog_embeddings: Path,
    localizer: Path,
    *,
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Search for each test street photo three times: by its true box, by the proposed one, and by the whole photo.

    All three are cut from the photo itself, as a service would, and searched among the shop photos of the category. A
    product that the catalog lacks asks nothing. Where a photo shows several products, each of them asks with the one
    box that is proposed.
    """
    if not is_trained(localizer):
        log.say("  there is no localizer (localizer.toml: enabled): nothing is proposed")
        pd.DataFrame(columns=PROPOSED_COLUMNS).to_parquet(out / FILE, index=False)
        return {**dict.fromkeys(METRICS), "queries": 0, "digest": fingerprint("no localizer")}
    from visnet.localizing.proposed import measure  # here: torch takes seconds, and most catalogs have this off

    return measure(raw_images, crops, trained_model, catalog_embeddings, localizer, out / FILE, log)
