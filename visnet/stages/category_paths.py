"""category_paths: the category path of every crop as the trained model tells it, and how far that is right."""

from pathlib import Path

from visnet.categorizing.files import TODAY, is_trained
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report
from visnet.sheets import contact_sheet
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table, tables_of

IN_PLACE = True
TABLE = "category_paths.lance"


class Params(Frozen):
    """Nothing can be chosen."""


def build(crops: Path, taxonomy_model: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the answers up to the crops and the model, and measure those of the crops whose category is known."""
    if not is_trained(taxonomy_model):
        log.say("  switched off (taxonomy_model.toml: enabled): nothing is told of crops")
        for known in tables_of(out):
            atomic.remove(known.path)
        for file in (*out.glob("*.csv"), out / TODAY):
            file.unlink(missing_ok=True)
        log.picture(contact_sheet.sheet([], "No category paths: the stage taxonomy_model is switched off"))
        return {"enabled": False, "exact_path": None, "digest": fingerprint("switched off")}
    from visnet.categorizing.told_paths import bring  # here: torch takes seconds, and most catalogs have this off

    return {"enabled": True, **bring(crops, taxonomy_model, Table(out / TABLE, "crop_id"), log)}
