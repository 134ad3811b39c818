"""taxonomy_model: models that tell the category path of a photo; switched off, an empty folder."""

from pathlib import Path

from visnet.categorizing.choices import PathModels
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.storage.fingerprints import fingerprint

CHECKPOINTS = "checkpoints"
RESUMES = (CHECKPOINTS,)
TRACKED = ("exact_path", "macro_f1", "training_s")


class Params(PathModels):
    """Whether models are trained, which, and how."""

    enabled: bool = False


def build(crops: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Train each model, or go on where a killed training stopped; the best on the validation's photos answers."""
    if not params.enabled:
        log.say("  switched off (taxonomy_model.toml: enabled): categories are those of the source")
        log.curve(0, {})
        return {"enabled": False, "exact_path": None, "macro_f1": None, "digest": fingerprint("switched off")}
    from visnet.categorizing.learning import learn  # here: torch takes seconds, and most catalogs have this off

    return {"enabled": True, **learn(crops, out, params, out / CHECKPOINTS, log)}
