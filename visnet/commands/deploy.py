"""Bring what is served to what is checked out: after a clone and `dvc pull`, a checkout, a copy, or a restore.

What the pointer names passed its gates when it was published, so it is only checked for being that. It becomes a newer
version, built from an older one of equal content or from the line's tables, by links.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from visnet.errors import NotReady
from visnet.pipeline.reports import DATA, REPORTS
from visnet.serving import pointer, versions
from visnet.serving.pointer import Parts
from visnet.storage import locks

if TYPE_CHECKING:
    from visnet.serving import candidate


def run(data: Path = DATA) -> str:
    """Serve what is checked out, and say what is served now; `ValueError` when that cannot be, what is served stays.

    A rollback is respected: what is checked out waits then.
    """
    publish = data / "publish"
    wanted = pointer.found(publish)
    if wanted is None:
        missing = f"{versions.status(publish)}; {pointer.path_of(publish)}, which says what is checked out, is missing"
        raise NotReady(versions.behind(publish) or missing)
    if done := _done(publish, wanted):
        return done
    from visnet.pipeline import stage  # torch and Lance, once there is something to do
    from visnet.runs import runner
    from visnet.serving import candidate, galleries
    from visnet.stages.publish import Params

    params = stage.parse("publish", runner.read_params().get("publish", {}), str(runner.PARAMS))
    assert isinstance(params, Params)
    with ExitStack() as locked:
        locked.enter_context(locks.held(publish))
        if done := _done(publish, wanted):
            return done
        number, building = versions.begin(publish)
        served = versions.intact(publish)
        try:
            made = _assembled(data, wanted, building, locked)
            earlier = None if served is None else versions.folder(publish, served)
            facts = candidate.describe(made, earlier) | {"before": served}
            facts["mlflow_run"] = candidate.run_of(made.parts["model"], REPORTS)
            galleries.prepare(publish, number, building, made.parts)
            versions.finish(publish, number, building, facts)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        versions.prune(publish, params.keep)
    return _done(publish, wanted) or versions.status(publish)


def _done(publish: Path, wanted: Parts) -> str:
    """Say which version is served where nothing is to be done, else ""."""
    newest = versions.waiting(publish) or versions.intact(publish)
    if newest is None or versions.damage(publish, newest) or versions.facts(publish, newest).get("parts") != wanted:
        return ""
    status = versions.status(publish)
    return status[0].upper() + status[1:]


def _assembled(data: Path, wanted: Parts, building: Path, locked: ExitStack) -> "candidate.Candidate":
    from visnet.serving import candidate

    for places in _sources(data, wanted, locked):
        try:
            made = candidate.assemble(places, building)
        except (ValueError, OSError):
            if places["model"].parent == data:
                raise
        else:
            if made.parts == wanted:
                return made
        shutil.rmtree(building)
        building.mkdir()
    other = ", ".join(
        name for name in sorted(wanted.keys() | made.parts.keys()) if made.parts.get(name) != wanted.get(name)
    )
    raise ValueError(
        f"{data}: {other} of the line are not what {pointer.path_of(data / 'publish')} says: run `dvc checkout`, or "
        f"`dvc repro` where they are newer"
    )


def _sources(data: Path, wanted: Parts, locked: ExitStack) -> Iterator[dict[str, Path]]:
    """Give the places that the parts can come from: whole versions of equal content, newest first, then the line.

    Only of the line can a stage be at work: it is locked then, and not before.
    """
    from visnet.runs import runner
    from visnet.serving import candidate

    publish = data / "publish"
    for number in reversed(versions.numbers(publish)):
        if not versions.damage(publish, number) and versions.facts(publish, number).get("parts") == wanted:
            yield candidate.of_version(versions.folder(publish, number), wanted)
    for name in (runner.TABLES.name, *dict.fromkeys(candidate.STAGE_OF.values())):
        locked.enter_context(locks.held(data / name, shared=True))
    line = candidate.of_line(data)
    for part in wanted:
        if part not in line or not line[part].exists():
            missing = data / candidate.STAGE_OF[part]
            raise NotReady(f"{missing} is missing: run `dvc checkout`, or in a fresh clone `dvc pull`")
    yield line
