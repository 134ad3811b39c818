"""What each process that tests fork would do once: imports that come late, and tables mapped to classes."""

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
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite",
):
    importlib.import_module(name)
Image.init()
sqlalchemy.orm.configure_mappers()
