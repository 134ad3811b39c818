"""photo_quality: which of the shop's photos mislead a search, by what has learnt to see planted faults.

Features are kept, so that a photo is looked at once; what learns from them is fitted anew, in seconds, and the zoom
filter is trained again only where the photos that it learns from have changed. What stands there is what a clean build
would give.
"""

from pathlib import Path

from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.quality import decisions, files
from visnet.quality.rule import QualityRule
from visnet.sheets import contact_sheet
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import tables_of

IN_PLACE = True
FIGURES = ("accuracy_min", "average_precision_min", "alarm_share")
Params = QualityRule


def build(raw_images: Path, crops: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the verdicts up to the photos, and to what was decided."""
    decided = decisions.read(Path(params.decisions))
    if not params.enabled:
        return _switched_off(out, log)
    from visnet.quality.verdicts import bring_verdicts  # here: it takes seconds, and most catalogs have this off

    return bring_verdicts(raw_images, crops, out=out, params=params, decided=decided, log=log)


def _switched_off(out: Path, log: Log) -> Report:
    log.say("  switched off (photo_quality.toml: enabled): no photos that mislead are looked for")
    for table in tables_of(out):
        atomic.remove(table.path)
    for name in files.SINGLE:
        (out / name).unlink(missing_ok=True)
    log.picture(contact_sheet.sheet([], "No verdicts on photos: the stage is switched off"))
    return {"enabled": False, **dict.fromkeys(FIGURES), "digest": fingerprint("switched off")}
