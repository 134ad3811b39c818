"""duplicates: pairs of shop photos that show one picture under different products, and the groups that they make.

Only photos that are new or changed are held against all; what stands there is what a clean build would give.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from visnet.duplicates import decisions, files, rule
from visnet.duplicates.rule import Rule
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.quality.shown_crops import left_out
from visnet.sheets import contact_sheet
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import tables_of

if TYPE_CHECKING:
    from visnet.duplicates.listing import Listed

IN_PLACE = True
SHOWN_GROUPS, SHOWN_PRODUCTS = 24, 6


class Params(Rule):
    """Whether double listings are looked for, by which rule, and where it stands what a person has said of pairs."""

    enabled: bool = False
    decisions: str = "duplicates.csv"


def build(
    raw_images: Path,
    crops: Path,
    photo_quality: Path,
    catalog_embeddings: Path,
    knn_results: Path,
    *,
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Bring the pairs and groups up to the photos, the embeddings and what was decided."""
    decided = decisions.read(Path(params.decisions))
    if not params.enabled:
        return _switched_off(out, log)
    from visnet.duplicates.bringing import bring_pairs  # here: torch takes seconds, and most catalogs have this off

    leaving = left_out(crops / "crops.lance", photo_quality)
    report, found = bring_pairs(
        raw_images, crops, catalog_embeddings, knn_results,
        left_out=leaving, out=out, params=params, decided=decided, log=log,
    )  # fmt: skip
    _picture(crops / "crops.lance", found, log)
    return report


def _switched_off(out: Path, log: Log) -> Report:
    log.say("  switched off (duplicates.toml: enabled): no double listings are looked for")
    for table in tables_of(out):
        atomic.remove(table.path)
    files.write(out, {})
    (out / rule.FILE).unlink(missing_ok=True)
    log.picture(contact_sheet.sheet([], "No double listings: the stage is switched off"))
    return {"enabled": False, "pairs": None, "groups": None, "digest": fingerprint("switched off")}


def _picture(crops: Path, found: "Listed", log: Log) -> None:
    """Show groups, each by the photos that joined its products; the surest first."""
    from visnet.duplicates.groups import members  # here, too: SciPy takes half a second

    rows = found.rows[found.rows["group"] != ""].sort_values("score", ascending=False, kind="stable")
    photo: dict[str, str] = {}
    for side in ("a", "b"):
        photo |= dict(zip(rows[f"{side}_product_id"], rows[f"{side}_crop_id"], strict=True))
    best = rows.drop_duplicates("group")[["group", "relation", "score"]].head(SHOWN_GROUPS)
    inside = members(found.groups)
    shown = {group: [p for p in inside[group] if p in photo][:SHOWN_PRODUCTS] for group in best["group"]}
    pictures = contact_sheet.open_images(crops, [photo[p] for products in shown.values() for p in products])
    lines = [
        [
            contact_sheet.Thumbnail(pictures[photo[p]], p if at else f"{relation} {score:.2f}")
            for at, p in enumerate(shown[group])
        ]
        for group, relation, score in best.itertuples(index=False, name=None)
    ]
    title = f"{len(inside)} groups of {len(found.groups)} products that show one picture; the surest first"
    log.picture(contact_sheet.sheet(lines, title, columns=3))
