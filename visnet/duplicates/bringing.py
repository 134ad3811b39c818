"""The pairs and groups that stand, brought up to the photos: only what is new or changed is held against all."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visnet.duplicates import compared_pairs, decisions, files, listing, rule
from visnet.duplicates.candidates import Numbers
from visnet.duplicates.decisions import CONFIRMED, DISMISSED
from visnet.duplicates.listing import Listed
from visnet.duplicates.rule import Rule
from visnet.duplicates.shown_photos import HASHED, hash_all, hashed_rows, hashes_of, shop_photos
from visnet.duplicates.views import VIEWS
from visnet.embedding.vectors import read_vectors
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table, wanted_rows

VERSION = 2  # raise when the same photos are compared otherwise than before


def bring_pairs(
    raw_images: Path,
    crops: Path,
    catalog_embeddings: Path,
    knn_results: Path,
    *,
    left_out: frozenset[str],
    out: Path,
    params: Rule,
    decided: decisions.Decisions,
    log: Log,
) -> tuple[Report, Listed]:
    """Bring the pairs and groups in `out` up to the photos but those left out, the embeddings and what was decided."""
    vectors = read_vectors(catalog_embeddings).of(side="shop")
    made = fingerprint(VERSION, params.alike_min, params.hash_bits_max, list(VIEWS))
    photos = shop_photos(raw_images, crops, vectors, made, left_out)
    matrix = vectors.at(photos["crop_id"])
    hashed, compared = Table(out / files.HASHES, "crop_id"), Table(out / "compared.lance", "pair_id")
    if not hashed.exists():
        hashed.put(HASHED.empty_table())
    photos_before = hashed.count()
    change = hashed.compare(wanted_rows(photos["crop_id"], photos["source"]))
    new = photos["crop_id"].isin(set(change.todo)).to_numpy()
    path = crops / "crops.lance"
    hashes = np.zeros((len(photos), len(VIEWS)), np.uint64)
    known = hashed.read(["crop_id", "hashes"])
    at = pd.Index(known["crop_id"].to_pylist()).get_indexer(photos["crop_id"][~new])
    hashes[~new] = hashes_of(known)[at]
    hashes[new] = hash_all(path, photos["crop_id"][new].tolist(), log)

    other = np.concatenate(
        [_nearest(knn_results, photos, matrix, params.nearest), _confirmed(photos, decided), np.empty((0, 2), np.int64)]
    )
    pairs = compared_pairs.wanted_pairs(
        photos, compared, hashes=hashes, vectors=matrix, new=new, other=other,
        photos_before=photos_before,
        bits_max=params.hash_bits_max, sq_limit=params.sq_limit,
    )  # fmt: skip
    news = compared_pairs.bring(compared, pairs, photos, path, log)
    found = listing.listed(compared.opened().to_table().sort_by("pair_id"), photos, decided.of(), params.score_min)
    counts = listing.put(out, found)
    # Last of all: until then a run that was killed is repeated, since its photos are still new.
    hashed.delete(change.gone)
    hashed.put(hashed_rows(photos[new], hashes[new]), change.changed)
    rule.write(out, params)
    report = _report(found, photos, decided, out) | {
        "compared": len(pairs),
        "photos_new": int(new.sum()),
        "pairs_new": len(news.todo),
        **dict(zip(("added", "changed", "removed"), counts, strict=True)),
    }
    return report, found


def _nearest(knn_results: Path, photos: pd.DataFrame, matrix: torch.Tensor, count: int) -> Numbers:
    """List the pairs of every product with the nearest others of its category."""
    lists = Table(knn_results / "knn.lance").read(["category", "product_id", "crops"], "kind = 'similar'").to_pydict()
    near = [crops[:count] for crops in lists["crops"]]
    return compared_pairs.near_pairs(photos, matrix, zip(lists["category"], lists["product_id"], near, strict=True))


def _confirmed(photos: pd.DataFrame, decided: decisions.Decisions) -> Numbers:
    """List the pairs that a person has confirmed, of photos that stand: they are compared whatever they look like."""
    rows_of = photos.groupby("key").indices
    found = [
        (one, other)
        for what, a, b in decided.rows
        if what == CONFIRMED
        for one in rows_of.get(a, ())
        for other in rows_of.get(b, ())
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def _report(found: Listed, photos: pd.DataFrame, decided: decisions.Decisions, out: Path) -> Report:
    """Count what was found; pairs within one product are counted apart."""
    own = found.rows["a_product_id"] == found.rows["b_product_id"]
    between = found.rows[~own]
    keys = set(photos["key"])
    return {
        "enabled": True,
        "photos": len(photos),
        "pairs": len(between),
        "pairs_within_products": int(own.sum()),
        "undecided": int((between["decision"] == "").sum()),
        "confirmed": int((between["decision"] == CONFIRMED).sum()),
        "dismissed": int((between["decision"] == DISMISSED).sum()),
        "decisions_unknown": sum(not {a, b} <= keys for _, a, b in decided.rows),
        "groups": len(set(found.groups.values())),
        "products_in_groups": len(found.groups),
        "groups_confirmed": len(set(found.confirmed.values())),
        "digest": Table(out / files.TABLE, "pair_id").digest(),
    }
