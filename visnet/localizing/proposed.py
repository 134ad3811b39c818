"""What a localizer proposes in the test's street photos, and how well a search by that finds."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from visnet.embedding import embed
from visnet.embedding.crop_dataset import square
from visnet.embedding.model_id import model_id, precision_of
from visnet.embedding.vectors import read_vectors
from visnet.errors import NotReady
from visnet.evaluation import boxes, metrics
from visnet.evaluation.ranks import product_ranks
from visnet.localizing.boxed_photos import BoxedPhotos, boxed_street
from visnet.localizing.localizer import Localizer
from visnet.localizing.proposed_columns import PROPOSED_COLUMNS
from visnet.photos import codec
from visnet.photos.cutting import BOX
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.storage.fingerprints import fingerprint
from visnet.zoo import weights

KS = (1, 5, 20)
AT_ONCE = 16  # photos that are decoded and embedded together


def measure(
    raw_images: Path, crops: Path, trained_model: Path, catalog_embeddings: Path, localizer: Path, file: Path, log: Log
) -> Report:
    """Search by true, proposed and whole boxes; write a row for each query to a Parquet file.

    `NotReady` where the embeddings are by another model.
    """
    proposing, vectors = Localizer.load(localizer), read_vectors(catalog_embeddings)
    model, entry = weights.load(trained_model)
    precision = precision_of(vectors.model)
    if vectors.model != model_id(weights.digest(model.state_dict()), precision):
        raise NotReady(f"{catalog_embeddings} is by another model than {trained_model}; run `dvc repro` first")
    shop = vectors.of(side="shop")
    there = pd.MultiIndex.from_frame(shop.rows[["category", "product_id"]])
    street = boxed_street(crops)
    asked = pd.MultiIndex.from_frame(street[["category", "product_id"]]).isin(there) & (street["split"] == "test")
    street = street[asked].reset_index(drop=True)

    photos = BoxedPhotos(raw_images / "photos.lance", street, proposing.side_px)
    embedded = partial(_vectors, embed.ready(model.eval(), entry.side_px, precision), entry.side_px, precision)
    found, proposed = _asked(photos, street, proposing, embedded, AT_ONCE, log)
    ranks = {name: product_ranks(shop, street, vectors_of, max(KS)) for name, vectors_of in found.items()}
    told = street.assign(
        score=proposed[:, 0], **{f"proposed_{side}": proposed[:, at] for at, side in enumerate(BOX, 1)}
    )
    told = told.assign(**{f"rank_{name}": np.where(rank == metrics.MISS, -1, rank) for name, rank in ranks.items()})
    told[PROPOSED_COLUMNS].to_parquet(file, index=False)
    return {
        "queries": len(street),
        "unsure_share": round(float(np.isnan(proposed[:, 0]).mean()), 6) if len(street) else None,
        **boxes.recalls(ranks, KS),
        "model": vectors.model[:32],
        "digest": fingerprint(told.to_csv(index=False)),
    }


def _asked(
    photos: BoxedPhotos,
    street: pd.DataFrame,
    proposing: Localizer,
    embedded: Callable[[Sequence[Image.Image]], Tensor],
    batch: int,
    log: Log,
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Return the queries' vectors [Q, D] by kind of box, and what is proposed, [Q, 5]: score and box, or NaN."""
    rows_of = street.groupby("photo_id").indices
    found: dict[str, dict[int, Tensor]] = {name: {} for name in boxes.BOXES}
    proposed = np.full((len(street), 5), np.nan)
    with log.progress("photos", len(photos), unit="photo") as progress:
        for first in range(0, len(photos), batch):
            numbers = range(first, min(first + batch, len(photos)))
            pictures = [photos.picture(number) for number in numbers]
            proposals = proposing.propose(pictures, batch)
            for number, picture, ones in zip(numbers, pictures, proposals, strict=True):
                one = ones[0] if ones else None
                rows = rows_of[photos.names[number]].tolist()
                if one is not None:
                    proposed[rows] = (one.score, *one.box)
                true = [codec.crop(picture, (b[0], b[1], b[2], b[3])) for b in street.loc[rows, BOX].to_numpy(float)]
                cuts = {"true": true, "proposed": [codec.crop(picture, one.box if one else None)], "whole": [picture]}
                for name, cut in cuts.items():
                    made = embedded(cut)
                    found[name] |= dict(zip(rows, made.expand(len(rows), -1), strict=True))
            progress.advance(len(numbers))
    nothing = torch.zeros(0, 1)
    return {
        name: torch.stack([own[row] for row in range(len(street))]) if own else nothing for name, own in found.items()
    }, proposed


def _vectors(model: nn.Module, side_px: int, precision: embed.Computed, pictures: Sequence[Image.Image]) -> Tensor:
    """Embed pictures, [N, D], each as a service would."""
    squares = [square(picture, side_px) for picture in pictures]
    found = embed.embed(model, squares, batch=1, precision=precision)  # type: ignore[arg-type]
    return torch.cat([vectors for _, vectors in found])
