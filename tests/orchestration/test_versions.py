"""Rollback and roll-forward as jobs: at once, whatever else runs, and shown with what was published."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from orchestration.bridge.dvc import Dvc
from tests import forked, refreshing, workspace
from tests.orchestration.loaded import forget, load


def test_a_click_goes_back_and_another_forward(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = refreshing.make(tmp_path / "shop", refreshing.stock(12))
    for look in (0, 1, 2):
        refreshing.put_stock(shop, refreshing.stock(12, look))
        refreshing.refresh(shop)
    shutil.copy(workspace.ROOT / "dvc.yaml", shop)
    forked.dvc(shop, "init", "--no-scm", "-q")
    monkeypatch.chdir(shop)
    jobs = {job.name: job for job in load().get_repository_def().get_all_jobs()}

    def click(job: str, op: str, **config: int) -> str:
        asked = {"ops": {op: {"config": config}}} if config else {}
        done = jobs[job].execute_in_process(run_config=asked, instance=instance, raise_on_error=False)
        if not done.success:
            return str(done.failure_data_for_node(op))
        record = instance.fetch_observations(dg.AssetKey("publish"), limit=1).records[0]
        assert record.asset_observation is not None
        return str(record.asset_observation.description)

    said = click("rollback", "go_back")
    assert "Version 2 is served; before, version 3. It stays, and version 3 and newer ones wait" in said
    assert "Version 1 is served; before, version 2" in click("rollback", "go_back", version=1)
    assert "no version 7; there are 1, 2, 3" in click("rollback", "go_back", version=7)
    assert refreshing.served(shop) == 1
    assert "Version 3 is served; before, version 1" in click("roll_forward", "go_forward")
    assert refreshing.served(shop) == 3
    assert (shop / "data/publish/current").unlink() is None
    (check,) = [one for one in load().asset_checks or () if "served_is_checked_out" in str(next(iter(one.check_keys)))]

    def checked() -> tuple[bool, str]:
        done = dg.materialize(
            [check],
            selection=dg.AssetSelection.checks(check),
            resources={"dvc": Dvc(root=str(shop))},
            instance=instance,
        )
        (evaluation,) = done.get_asset_check_evaluations()
        return evaluation.passed, str(evaluation.description)

    passed, said = checked()
    assert (passed, "nothing is served: `python -m visnet deploy` serves what is checked out" in said) == (False, True)
    assert "Version 4 is served" in click("deploy", "bring")
    assert checked() == (True, "version 4 is served")
    steps = [node for job in ("rollback", "roll_forward", "deploy") for node in jobs[job].all_node_defs]
    assert {pool for step in steps for pool in getattr(step, "pools", ())} == set(), "neither waits for a refresh"
    forget()
