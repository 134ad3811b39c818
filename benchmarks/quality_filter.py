"""Measure what leaving out bad photos is worth: recall@1 with faults planted in a share of a shop's photos.

    mkdir DIR && cd DIR && python PROJECT/benchmarks/quality_filter.py --share 0.1

In a folder of its own: the synthetic shop, of whose shop photos a share is made faulty, each by one of the stage's
faults; the stage photo_quality, which knows none of this, and learns from photos of which as many are faulty; and a
search by a frozen pretrained trunk, of which nothing is trained. The same street photos ask each gallery, so that
differences are paired; an interval is of 95 %, by a bootstrap over products. Beside recall stands what is seen: which
share of the ten answers to a street photo, and of the ten products most like a product's photo, is shown by a faulty
photo. Rows:

    clean          no photo is faulty
    kept           faulty photos answer like all others
    left out       what the stage leaves out does not answer; the trunk's projection is that of `kept`
    ..., unlearnt  nor is the projection fitted to it
    decided        a person has decided rightly of all that is bad or unsure
    learnt again   after these decisions the stage has run once more, without what was confirmed among its good photos
    by truth       all that was planted is left out, but for a product's last photo: what verdicts could reach at most

The faults are those that the stage learns to see, so that its verdicts are better here than on faults of other kinds.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from quality_planting import CROPS, decide, plant
from torch import Tensor, nn

from visnet import zoo
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.vectors import Vectors
from visnet.evaluation import baselines, frozen
from visnet.evaluation.intervals import interval, resampled_means
from visnet.evaluation.ranks import product_ranks
from visnet.pipeline.log import SILENT
from visnet.pipeline.reports import DATA, read_report
from visnet.quality import bands, files, left_out, shown_crops
from visnet.quality.bands import BAD, GOOD, UNSURE, Band
from visnet.runs import runner
from visnet.search.products import nearest_products
from visnet.storage import atomic
from visnet.storage.table import Table

ENTRY = "efficientnet_lite0_frozen"
ANSWERS = 10
RESULTS = Path(__file__).with_name("results")
COLUMNS = ["crop_id", "photo_id", "product_id", "category", "side", "split", "content"]


def seen(model: nn.Module, side_px: int, crop_ids: list[str]) -> dict[str, Tensor]:
    """Embed crops; return crop -> the trunk's unit vector."""
    matrix = baselines.embedded(model, CropImages(CROPS, crop_ids, side_px, keep=False), SILENT, "fp32")
    return dict(zip(crop_ids, matrix, strict=True))


class Answered(NamedTuple):
    """Which street photos find their product first, bool [Q], and shares of answers that a faulty photo shows."""

    first: np.ndarray
    faulty: float
    similar_faulty: float


def answered(
    crops: pd.DataFrame, vectors: Mapping[str, Tensor], faulty: set[str], without: set[str], unlearnt: set[str]
) -> Answered:
    """Search; without: crops that do not answer, unlearnt: to which the projection is not fitted."""
    matrix = torch.stack([vectors[crop] for crop in crops["crop_id"]])
    shop = (crops["side"] == "shop").to_numpy()
    fitted_to = shop & ~crops["crop_id"].isin(unlearnt).to_numpy()
    matrix = frozen.projected(matrix, fitted_to, seed=1)
    answers = shop & ~crops["crop_id"].isin(without).to_numpy()
    gallery = Vectors(crops[answers].reset_index(drop=True), matrix[torch.from_numpy(answers)], ENTRY)
    street = Vectors(crops[~shop].reset_index(drop=True), matrix[torch.from_numpy(~shop)], ENTRY)
    first = product_ranks(gallery, street.rows, street.matrix, 1) == 0
    return Answered(first, _faulty(gallery, street, faulty), _faulty(gallery, gallery, faulty))


def _faulty(gallery: Vectors, asking: Vectors, faulty: set[str]) -> float:
    """Return the share of the answers that a faulty photo shows; photos of the gallery do not find their product."""
    shown = total = 0
    for category in sorted(set(gallery.rows["category"])):
        own, asked = gallery.of(category=category), asking.of(category=category)
        if not len(asked.rows):
            continue
        product, _ = pd.factorize(own.rows["product_id"])
        exclude = product if asking is gallery else None
        rows = nearest_products(asked.matrix, own.matrix, product, ANSWERS, exclude).row
        answers = own.rows["crop_id"].isin(faulty).to_numpy()[rows[rows >= 0]]
        shown, total = shown + int(answers.sum()), total + len(answers)
    return round(shown / total, 6)


def compared(found: Mapping[str, np.ndarray], street: pd.DataFrame) -> dict[str, Any]:
    """Return recall@1 of each row, and by how much it is above that of `kept`, with its interval."""
    product, _ = pd.factorize(street["category"] + "/" + street["product_id"])
    names = list(found)
    differences = np.stack([found[name].astype(float) - found["kept"] for name in names], axis=1)
    low, high = interval(resampled_means(differences, product, seed=1))
    return {
        name: {
            "recall_at_1": round(float(found[name].mean()), 6),
            "above_kept": round(float(differences[:, at].mean()), 6),
            "above_kept_low": round(float(low[at]), 6),
            "above_kept_high": round(float(high[at]), 6),
        }
        for at, name in enumerate(names)
    }


def verdicts(faulty: Mapping[str, str]) -> dict[str, Any]:
    """Count what the stage called bad of what was planted, fault by fault, and of the other photos."""
    chosen = {
        fault: Band(**band) for fault, band in json.loads((DATA / "photo_quality" / files.BANDS).read_text()).items()
    }
    rows = Table(DATA / "photo_quality" / files.TABLE).read(["photo_id", "verdict", *chosen]).to_pandas()
    rows["planted"] = rows["photo_id"].map(faulty).fillna("")
    by_scores = [bands.verdict(dict(zip(chosen, row, strict=True)), chosen)[0] for row in rows[[*chosen]].to_numpy()]
    rows["by_scores"] = by_scores
    report = read_report("photo_quality") or {}
    own = rows[rows["planted"] != ""]
    return {
        "planted": len(own),
        "found": int((own["verdict"] == BAD).sum()),
        "unsure": int((own["verdict"] == UNSURE).sum()),
        "found_by_scores": int((own["by_scores"] == BAD).sum()),
        "alarms_by_scores": int(((rows["planted"] == "") & (rows["by_scores"] == BAD)).sum()),
        "alarms": int(((rows["planted"] == "") & (rows["verdict"] == BAD)).sum()),
        "unsure_alarms": int(((rows["planted"] == "") & (rows["verdict"] == UNSURE)).sum()),
        "left_out": report["left_out"],
        "kept_as_last": report["kept_as_last"],
        "found_by_fault": {
            fault: {
                "planted": len(some),
                **{said: int((some["verdict"] == said).sum()) for said in (BAD, UNSURE)},
                "bad_by_scores": int((some["by_scores"] == BAD).sum()),
            }
            for fault, some in own.groupby("planted")
        },
    }


def _bad(crops: pd.DataFrame, photos: set[str]) -> set[str]:
    """Return which crops are left out where just these photos are bad."""
    shop = crops[crops["side"] == "shop"].assign(fault="", score=0.0, decision="")
    return set(left_out.choose(shop.assign(verdict=np.where(shop["photo_id"].isin(photos), BAD, GOOD))).crop_ids)


def main() -> None:
    """Plant, judge, search; print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, default=440)
    parser.add_argument("--share", type=float, default=0.1, help="of the shop's photos that are made faulty")
    parser.add_argument("--photos", type=int, default=150, help="that the stage learns from; a third are measured on")
    parser.add_argument("--seed", type=int, default=1, help="of what is planted")
    asked = parser.parse_args()
    begun_s = time.monotonic()
    synthetic = {"products": asked.products, "seed": 7}
    tables: dict[str, Any] = {
        "raw_images": {"source": "synthetic", "metadata": __file__, "synthetic": synthetic},
        "crops": {"side_px": 160},
        "photo_quality": {"enabled": True, "leave_out_bad": True, "photos": asked.photos, "zoom_epochs": 0},
    }
    tables["photo_quality"]["photos_measured"] = max(6, asked.photos // 3)
    for stage in ("raw_images", "crops"):
        runner.run(stage, tables=tables)
    crops = Table(CROPS).read(COLUMNS, "lost IS NULL").to_pandas().sort_values("crop_id", ignore_index=True)
    model, entry = frozen.trunk(zoo.entry(ENTRY))
    clean = seen(model, entry.side_px, crops["crop_id"].tolist())
    faulty = plant(asked.share, asked.seed)
    for stage in ("crops", "photo_quality"):
        runner.run(stage, tables=tables)
    planted = crops.loc[crops["photo_id"].isin(faulty), "crop_id"].tolist()
    now = clean | seen(model, entry.side_px, planted)
    out = set(shown_crops.left_out(CROPS, DATA / "photo_quality"))
    flagged = Table(DATA / "photo_quality" / files.TABLE).read(["photo_id"], f"verdict != '{GOOD}'")
    decided = faulty.keys() & set(flagged["photo_id"].to_pylist())
    truly, first = _bad(crops, set(faulty)), verdicts(faulty)
    asked_of = decide(faulty)
    runner.run("photo_quality", tables=tables)
    again = set(shown_crops.left_out(CROPS, DATA / "photo_quality"))
    rows = {
        "clean": answered(crops, clean, set(), set(), set()),
        "kept": answered(crops, now, set(planted), set(), set()),
        "left out": answered(crops, now, set(planted), out, set()),
        "left out, unlearnt": answered(crops, now, set(planted), out, out),
        "decided": answered(crops, now, set(planted), _bad(crops, decided), set()),
        "learnt again": answered(crops, now, set(planted), again, set()),
        "by truth": answered(crops, now, set(planted), truly, set()),
    }
    street = crops[crops["side"] == "street"].reset_index(drop=True)
    test = (street["split"] == "test").to_numpy()
    told: dict[str, Any] = {"asked": vars(asked), "entry": ENTRY, "verdicts": first, "decided": asked_of}
    told["verdicts_learnt_again"] = verdicts(faulty)
    for name, mask in (("test", test), ("all", np.ones(len(street), bool))):
        told[name] = {"queries": int(mask.sum()), "products": int(street[mask]["product_id"].nunique())}
        told[name] |= compared({row: found.first[mask] for row, found in rows.items()}, street[mask])
    seen_faulty = {row: {"street": found.faulty, "similar": found.similar_faulty} for row, found in rows.items()}
    told["faulty_among_answers"] = seen_faulty
    told["wall_s"] = round(time.monotonic() - begun_s, 1)
    atomic.put_json(RESULTS / f"quality-filter-{asked.seed}.json", told)
    print(told["verdicts"])
    print(f"after decisions on {asked_of} photos:\n{told['verdicts_learnt_again']}")
    print("shown by a faulty photo, of the answers to street photos, and of similar products:")
    print("\n".join(f"{row:20} {one['street']:.4f} {one['similar']:.4f}" for row, one in seen_faulty.items()))
    for name in ("test", "all"):
        print(f"\n{told[name]['queries']} street photos of {told[name]['products']} products ({name})")
        for row in rows:
            one = told[name][row]
            span = f"{one['above_kept']:+.4f} ({one['above_kept_low']:+.4f} … {one['above_kept_high']:+.4f})"
            print(f"{row:20} recall@1 {one['recall_at_1']:.4f}   above kept {span}")


if __name__ == "__main__":
    main()
