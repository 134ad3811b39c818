"""DVC's remote and MLflow's files in an object store, with the settings that docs/how-to/object-store.md has."""

import re
from pathlib import Path
from typing import Any

from tests.forked import dvc
from tests.object_store import KEY, SECRET
from tests.workspace import ROOT
from visnet.storage.object_store import ObjectStore
from visnet.storage.table import Table

PAGE = (ROOT / "docs/how-to/object-store.md").read_text(encoding="utf-8")


def typed(start: str, bucket: str) -> list[list[str]]:
    """Return the words of the lines of the page that begin so, for a bucket of ours."""
    lines = re.findall(rf"(?m)^ +({start} .*)$", PAGE)
    return [line.replace("BUCKET", bucket).split()[1:] for line in lines]


def objects(bucket: str, folder: str) -> dict[str, int]:
    return dict(ObjectStore(f"s3://{bucket}/{folder}").sizes())


def test_dvc_pushes_to_a_bucket_and_a_clone_pulls_from_it(s3: Any, tmp_path: Path) -> None:
    import pyarrow as pa

    bucket, work = s3.bucket(), tmp_path / "work"
    work.mkdir()

    dvc(work, "init", "--no-scm", "-q")
    Table(work / "data/photos.lance", "id").put(
        pa.table({"id": ["a", "b"], "source": ["1", "2"], "content": ["1", "2"]})
    )
    dvc(work, "add", "data", "-q")
    (adding,) = typed("dvc remote add", bucket)
    dvc(work, *adding)
    assert "pushed" in dvc(work, "push")
    assert objects(bucket, "dvc")
    told = (work / ".dvc/config").read_text(encoding="utf-8")
    assert (KEY in told, SECRET in told) == (False, False)

    clone = tmp_path / "clone"
    (clone / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", "data.dvc"):
        (clone / name).write_bytes((work / name).read_bytes())
    dvc(clone, "pull")
    assert Table(clone / "data/photos.lance").digest() == Table(work / "data/photos.lance").digest()
