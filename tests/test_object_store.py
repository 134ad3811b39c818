"""DVC's remote and MLflow's files in an object store, with the settings that docs/how-to/object-store.md has."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.object_store import KEY, SECRET
from tests.orchestration.running import free_port
from tests.workspace import ROOT, environment
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

    def dvc(folder: Path, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

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


def test_mlflow_keeps_files_of_runs_in_a_bucket_and_clients_need_no_credentials(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    (variable,) = re.findall(r"MLFLOW_ARTIFACTS=(\S+)", PAGE)
    bucket, port = s3.bucket(), free_port()
    address = f"http://127.0.0.1:{port}"
    given = {
        **environment(),
        **s3.environment,
        "MLFLOW_ADDRESS": address,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "MLFLOW_ARTIFACTS": variable.replace("BUCKET", bucket),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "PYTHONPATH": str(ROOT),
    }
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "orchestration.ui.roles", "mlflow"],
            cwd=tmp_path,
            env=given,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as server,
    ):
        try:
            until_s = time.monotonic() + 120
            while True:
                try:
                    httpx.get(f"{address}/health", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert server.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
                    assert time.monotonic() < until_s
                    time.sleep(0.2)
            for name in s3.environment:
                monkeypatch.delenv(name)
            monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            client = mlflow.MlflowClient(address)
            run = client.create_run(client.create_experiment("kept there")).info.run_id
            client.log_text(run, "weights", "model/weights.txt")
            assert [file.path for file in client.list_artifacts(run, "model")] == ["model/weights.txt"]
            fetched = client.download_artifacts(run, "model/weights.txt", str(tmp_path))
            assert Path(fetched).read_text(encoding="utf-8") == "weights"
        finally:
            os.killpg(server.pid, 9)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (name,) = objects(bucket, "mlflow")
    assert name.endswith(f"{run}/artifacts/model/weights.txt")
    assert SECRET not in (tmp_path / "log").read_text(encoding="utf-8")
    assert list(tmp_path.rglob("weights.txt")) == [Path(fetched)]
