"""localizer: the detector that proposes the box of the product in a photo; switched off, an empty folder."""

from pathlib import Path

from visnet.localizing.choices import LocalizerChoices
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.sheets import box_sheet
from visnet.storage.fingerprints import fingerprint

CHECKPOINTS = "checkpoints"
RESUMES = (CHECKPOINTS,)
TRACKED = ("ap", "ap50", "mean_overlap", "unsure_share", "training_s")


class Params(LocalizerChoices):
    """Whether a localizer is trained, and how."""

    enabled: bool = False


def build(raw_images: Path, crops: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Train, or go on where a killed training stopped; write the localizer, measured on the test's photos."""
    if not params.enabled:
        log.say("  switched off (localizer.toml: enabled): photos without a box are searched for as a whole")
        log.picture(box_sheet.boxes([], "No localizer: it is switched off"))
        log.curve(0, {})
        return {"enabled": False, "ap50": None, "digest": fingerprint("switched off")}
    from visnet.localizing.learning import learn  # here: torch takes seconds, and most catalogs have this off

    return {"enabled": True, **learn(raw_images, crops, out, params, out / CHECKPOINTS, log)}
