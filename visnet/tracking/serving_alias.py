"""Tell the registry by which model what is served is: its alias `serving`, after every switch to another model.

A file beside the versions says what was told to whom, so that nothing is asked while nothing changes, and what could
not be told is told after the next act. The switch itself waits for none of it.
"""

import os
from pathlib import Path

from visnet.serving import versions
from visnet.tracking import registry

TOLD = "told"


def tell(publish: Path = versions.PUBLISH) -> str:
    """Have the alias follow what is served; return a line when the tracker could not be told, else ""."""
    served = versions.current(publish)
    if served is None or versions.damage(publish, served):
        return ""
    if not os.environ.get("MLFLOW_TRACKING_URI") and not Path(".mlflow").exists():
        return ""  # nothing was ever tracked here, and no database is made for this
    model = str(versions.facts(publish, served)["model"])
    now, told = f"{os.environ.get('MLFLOW_TRACKING_URI', '')}\n{model}\n", publish / TOLD
    if told.exists() and told.read_text(encoding="utf-8") == now:
        return ""
    try:
        registry.name_serving(model)
    except ValueError as error:  # `Unreachable`, or no address
        return f"MLflow could not be told which model is served: {error}; `python -m visnet deploy` tells it later"
    told.write_text(now, encoding="utf-8")
    return ""
