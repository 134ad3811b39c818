"""What each process that tests fork would do once: imports that come late, and tables mapped to classes.

It comes after all other imports: what is there by then, a million objects, no collector of cycles has to look through.
"""

import atexit
import gc
import importlib

import sqlalchemy.orm
from PIL import Image

for name in (
    "alembic.command",
    "dulwich.repo",
    "dvc.cli.parser",
    "dvc.fs.dvc",
    "dvc.repo.index",
    "dvc.repo.reproduce",
    "dvc.stage.run",
    "dvc.utils.serialize",
    "dvc_data.hashfile.checkout",
    "git",
    "lance",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracing.processor.base_mlflow",
    "onnx",
    "sqlalchemy.dialects.sqlite",
    "timm",
    "visnet.duplicates.bringing",
    "visnet.runs.runner",
):
    importlib.import_module(name)
Image.init()
sqlalchemy.orm.configure_mappers()
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # else Triton's library lists what it holds as leaked
