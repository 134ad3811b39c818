"""What the assets run with: the DVC project in the current directory, one stage at a time."""

from pathlib import Path

import dagster as dg

from orchestration.bridge.dvc import Dvc


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the `dvc` resource, and run the steps of a run in one process: DVC is what does the work."""
    return dg.Definitions(resources={"dvc": Dvc(root=str(Path.cwd()))}, executor=dg.in_process_executor)
