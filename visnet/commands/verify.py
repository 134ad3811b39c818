"""Read all that stands on disk, and hold it against what was recorded when it was made."""

from pathlib import Path

from visnet.embedding.model_id import model_id, precision_of
from visnet.errors import Damaged, NotReady
from visnet.pipeline.log import Log
from visnet.pipeline.reports import DATA, REPORTS, read_report
from visnet.pipeline.stage import STAGES, is_served, module
from visnet.serving import candidate, versions
from visnet.storage import integrity, locks
from visnet.storage.table import Table, tables_of
from visnet.zoo import weights

ROWS = 256  # read at a time, since they may hold photos


def run(log: Log, data: Path = DATA, reports: Path = REPORTS) -> str:
    """Check every artefact and published version in full; return a line for each.

    `ValueError` names what is damaged and the command that brings it back, after all was looked at.
    """
    folders = [data / stage for stage in STAGES if not is_served(stage) and (data / stage).is_dir()]
    publish = data / "publish"
    published = [versions.folder(publish, number) for number in versions.numbers(publish)]
    if not folders and not published:
        raise NotReady(f"{data}: there is nothing to verify; run `dvc repro` (or `dvc pull`) first")
    lines, wrong = [], []
    with log.progress("verify", len(folders) + len(published), unit="folder") as progress:
        for folder in folders:
            with locks.held(folder, shared=True):
                found = _artefact(folder, reports)
            lines.append(f"{folder.name:<20} {_verdict(found)}")
            wrong += [f"{found[0]}; {integrity.cure(folder)}"] if found else []
            progress.advance()
        for number, folder in zip(versions.numbers(publish), published, strict=True):
            found = _version(publish, number)
            lines.append(f"{f'version {number}':<20} {_verdict(found)}")
            if found:
                cure = f"once the line's own tables are whole, run `rm -r {folder} && python -m visnet deploy`"
                wrong.append(f"{folder}: {found[0]}; {cure}")
            progress.advance()
    if wrong:
        raise Damaged(" — ".join([f"{len(wrong)} of {len(lines)} folders are damaged", *wrong]))
    return "\n".join([*lines, f"All {len(lines)} are as they were written"])


def _verdict(found: list[str]) -> str:
    return "OK" if not found else f"DAMAGED: {found[0]}"


def _artefact(folder: Path, reports: Path) -> list[str]:
    found = [f"{path} is not as it was written" for path in integrity.damaged(folder)]
    if not found:
        found = [fault for table in tables_of(folder) for fault in _unreadable(table.path)]
    if not found and (name := getattr(module(folder.name), "TABLE", "")):
        report, path = read_report(folder.name, reports) or {}, folder / name
        wanted = report.get("enabled", True) and report.get("digest")  # a stage that is off has no table
        if wanted and Table(path).digest() != wanted:
            found = [f"{path} does not hold what {reports / folder.name}.json says"]
    return found


def _version(publish: Path, number: int) -> list[str]:
    folder = versions.folder(publish, number)
    try:
        parts = versions.facts(publish, number)["parts"]
        digest = weights.digest(weights.load(folder / "trained_model")[0].state_dict())
        model = model_id(digest, precision_of(parts["model"]))
        found = ["its model is another one"] if model != parts["model"] else []
        for path in sorted(folder.glob("*.lance")):
            found += _unreadable(path)
            digest = "" if found else Table(path).digest()
            if not found and digest != parts[path.stem]:
                found.append(f"{path.name} is another one")
        for part in sorted(parts.keys() & candidate.SINGLE.keys()):
            file = folder / candidate.SINGLE[part]
            if candidate.digest(file) != parts[part]:
                found.append(f"{file.name} is another one")
        for part in sorted(parts.keys() & {"localizer", "taxonomy"}):
            if candidate.digest(*candidate.files_of(part, folder / candidate.STAGE_OF[part])) != parts[part]:
                found.append(f"its {candidate.STAGE_OF[part].replace('_', ' ')} is another one")
    except (OSError, ValueError, KeyError) as error:
        return [" ".join(str(error).split())]
    return found


def _unreadable(path: Path) -> list[str]:
    """Read every column of a table; what Lance cannot read is named."""
    try:
        for _ in Table(path).opened().to_batches(batch_size=ROWS):
            pass
    except (OSError, ValueError) as error:
        return [f"{path} cannot be read: {str(error).partition(', /')[0]}"]
    return []
