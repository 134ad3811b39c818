"""Gates: what a stage's report must hold before anything downstream may run, as Dagster's blocking checks."""

from collections.abc import Iterable, Mapping
from functools import partial

import dagster as dg

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.project import Gate, Stage
from orchestration.bridge.provenance import asset_key
from orchestration.bridge.report import Value, read_report


def judged(
    checks: Iterable[dg.AssetChecksDefinition], dvc: Dvc, assets: Iterable[dg.AssetKey]
) -> list[dg.AssetCheckEvaluation]:
    """Evaluate those checks that are of `assets`, outside a run: of what was made in a shell."""
    found, made = [], set(assets)
    for check in checks:
        for key in check.check_keys:
            if key.asset_key in made:
                result = check(dvc=dvc)
                assert isinstance(result, dg.AssetCheckResult)
                found.append(
                    dg.AssetCheckEvaluation(
                        asset_key=key.asset_key,
                        check_name=key.name,
                        passed=result.passed,
                        description=result.description,
                        metadata=result.metadata or {},
                        severity=result.severity,
                        blocking=check.get_spec_for_check_key(key).blocking,
                    )
                )
    return found


def gates_of(stage: Stage) -> list[dg.AssetChecksDefinition]:
    """Make the blocking checks that a stage of dvc.yaml asks for; where its report has no limit, none is closed."""
    return [check_of(stage.name, gate) for gate in stage.gates]


def check_of(stage: str, gate: Gate) -> dg.AssetChecksDefinition:
    """Make the blocking check of one gate of a stage."""
    judge = _verdict if gate.bound == "verdict" else partial(_within, gate.key, gate.bound)

    @dg.asset_check(asset=asset_key(stage), name=gate.key, description=gate.why, blocking=True)
    def _check(dvc: Dvc) -> dg.AssetCheckResult:
        try:
            report = read_report(dvc.reports_path / f"{stage}.json")
        except ValueError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return judge(report)

    return _check


def _verdict(report: Mapping[str, Value]) -> dg.AssetCheckResult:
    """Judge by what the report decided itself: `passed`, and in words `verdict`."""
    return dg.AssetCheckResult(passed=report.get("passed") is True, description=str(report.get("verdict")))


def _within(key: str, bound: str, report: Mapping[str, Value]) -> dg.AssetCheckResult:
    value, limit = report.get(key), report.get(f"{key}_{bound}")
    if limit is None:
        return dg.AssetCheckResult(passed=True, description=f"{key} is {value}; no limit is set")
    if not isinstance(value, int | float):
        return dg.AssetCheckResult(passed=False, description=f"the report gives no number for {key}: {value!r}")
    if not isinstance(limit, int | float):
        return dg.AssetCheckResult(passed=False, description=f"{key}_{bound} is not a number: {limit!r}")
    passed = value <= limit if bound == "max" else value >= limit
    word = "at most" if bound == "max" else "at least"
    return dg.AssetCheckResult(
        passed=passed,
        description=f"{key} is {value:g}; {word} {limit:g} is allowed",
        metadata={"value": float(value), f"limit_{bound}": float(limit)},
    )
