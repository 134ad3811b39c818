"""Which model suits a shop, and numbers for every stage that suit its size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visnet.inspection.inspected import Counts

FINE_TUNED, FROZEN = "efficientnet_lite0", "efficientnet_lite0_frozen"
ENOUGH = 200  # pairs to learn from; with fewer, what ImageNet taught finds better
TRIPLETS = (2_000, 400_000)  # least and most to train with
PATHS = "categories are paths of up to {depth} levels: `enabled = true` in taxonomy_model.toml learns to tell them"
LOST_MAX = 0.02  # of photos on a disk
LOST_REMOTE_MAX = 0.1  # of photos with an address


@dataclass(frozen=True)
class Advice:
    """The zoo entry and the sampler, why, the parameters of the stages after raw_images, and what to switch on."""

    config: str
    sampler: str
    why: str
    switch_on: str
    tables: Mapping[str, Mapping[str, Any]]


def advice(counts: Counts | None) -> Advice:
    """Choose by what there is to learn from; None = a feed, of which nothing is known yet."""
    config, sampler, why = model(counts)
    photos, products = (counts.photos, counts.products) if counts else (2_000, 1_000)
    return Advice(
        config,
        sampler,
        why,
        PATHS.format(depth=counts.depth) if counts and _tells_paths(counts) else "",
        {
            "crops": _crops(counts, products, sampler),
            "triplets": _triplets(counts, photos, sampler),
            "evaluation": {"baselines": ["colour_histogram"] if config == FROZEN else ["frozen", "colour_histogram"]},
            "publish": _publish(counts, photos, products),
        },
    )


def model(counts: Counts | None) -> tuple[str, str, str]:
    """Return the zoo entry, the sampler, and why these."""
    if counts is None:
        return (
            FROZEN,
            "none",
            "nothing of the feed is here yet; run init on its inbox again once it is",
        )
    if counts.paired >= ENOUGH:
        return FINE_TUNED, "street2shop", f"{counts.paired} street photos show products that have shop photos"
    if counts.several >= ENOUGH:
        return FINE_TUNED, "metadata", f"{counts.several} products have several photos, which are learnt to be alike"
    if counts.paired or counts.several:
        there = (
            f"{counts.several} products with several photos" if not counts.paired else f"{counts.paired} street photos"
        )
        return FROZEN, "none", f"{there} are too few to learn from; some {ENOUGH} are wanted"
    return FROZEN, "none", "one photo a product: nothing says which photos are alike, so nothing can be learnt"


def lost_share_max(counts: Counts | None) -> float:
    """Return which share of the photos may be lost; a few photos always may."""
    if counts is None:
        return LOST_REMOTE_MAX
    share = LOST_REMOTE_MAX if counts.remote else LOST_MAX
    return round(max(share, min(0.5, 2 / counts.photos)), 3)


def _tells_paths(counts: Counts) -> bool:
    """Whether photos are enough to learn the paths of categories from."""
    return counts.in_paths >= ENOUGH and counts.categories > 1


def _crops(counts: Counts | None, products: int, sampler: str) -> dict[str, Any]:
    if sampler == "none":
        validation, test = 0.0, 0.9 if counts and counts.paired else 0.2
        if counts and _tells_paths(counts):  # by which models of category paths are chosen
            validation, test = 0.1, min(test, 0.5)
    else:
        validation, test = (0.05, 0.1) if products >= 20_000 else (0.1, 0.2) if products >= 1_000 else (0.12, 0.25)
    return {
        "validation_share": validation,
        "test_share": test,
        "shared_products": "allow" if counts and counts.shared else "refuse",
        "lost_share_max": lost_share_max(counts),
    }


def _triplets(counts: Counts | None, photos: int, sampler: str) -> dict[str, Any]:
    least, most = TRIPLETS
    train = min(max(4 * photos // 1_000 * 1_000, least), most)
    table: dict[str, Any] = {
        "sampler": sampler,
        "train": train,
        "validation": 3_000,
        "test": min(max(train // 10, 1_000), 20_000),
    }
    if sampler == "metadata" and counts:
        table["metadata"] = _mix(counts)
    return table


def _mix(counts: Counts) -> dict[str, float]:
    """Share out the kinds of triplets that can be had: by colours if some are known, across categories if some are."""
    mix = {"product_out": 0.63, "product_in": 0.27, "colour_out": 0.07, "colour_in": 0.03}
    if counts.colours < 2:
        mix |= {"colour_out": 0.0, "colour_in": 0.0}
    if counts.categories - counts.lone_categories < 2:
        mix |= {"product_in": mix["product_in"] + mix["product_out"], "product_out": 0.0}
        mix |= {"colour_in": round(mix["colour_in"] + mix["colour_out"], 2), "colour_out": 0.0}
    return mix


def _publish(counts: Counts | None, photos: int, products: int) -> dict[str, Any]:
    return {
        "removed_share_max": 0.5 if products < 50 else 0.2,
        "lost_share_max": round(max(0.05, lost_share_max(counts)), 3),
    }
