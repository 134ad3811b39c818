"""Look at what a shop has, and write the params.toml that suits it."""

import filecmp
import itertools
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

from visnet.inspection import parameters
from visnet.inspection.advice import Advice, advice
from visnet.inspection.inspected import Inspected
from visnet.inspection.look import looked
from visnet.pipeline import stage as stages
from visnet.pipeline.reports import DATA
from visnet.serving import catalog, gates
from visnet.storage import atomic

FOLDER = Path("datasets")  # where tables from the web are put; git keeps none of it


def run(target: str, out: Path) -> str:
    """Write `out` for a folder, a table or an address, and say what was found; what was in `out` is kept beside.

    `ValueError` in a line when nothing there can be a catalog; then nothing is written.
    """
    if out.is_dir():
        raise ValueError(f"--out: {out} is a folder; name a file, as {out}/params.toml")
    workspace = out.parent
    with looked(target, workspace) as (found, file):
        if file:
            at = workspace / FOLDER / re.sub(r"\..*", "", file.name) / file.name
            found = replace(found, metadata=at)
        advised = advice(found.counts)
        text = parameters.text(found, advised, workspace, replaces=_replaces(found, workspace))
        _check(text, out)
        if file and not (at.is_file() and filecmp.cmp(file, at, shallow=False)):
            with atomic.writing(at) as building:
                shutil.copyfile(file, building)
    return "\n".join([*_found(found, advised), *_put(out, text), *_next(found, workspace)])


def _check(text: str, out: Path) -> None:
    """Have every stage read its table, as it will when it runs."""
    for stage, table in tomllib.loads(text).items():
        stages.parse(stage, table, str(out))


def _replaces(found: Inspected, workspace: Path) -> bool:
    """Tell whether the catalog that is served here has no product in common with what was found."""
    data = workspace / DATA
    if not catalog.is_published(data) or found.counts is None:
        return False
    with catalog.open_current(data) as version:
        return not found.counts.product_ids & gates.products(version.crops).keys()


def _put(out: Path, text: str) -> list[str]:
    """Write the parameters; others that are there are kept beside, under a name that says so."""
    before = out.read_bytes() if out.is_file() else None
    if before == text.encode():
        return [f"Written    {out}, which is as it was"]
    lines = [f"Written    {out}"]
    if before is not None:
        kept = next(path for path in _beside(out) if not path.exists() or path.read_bytes() == before)
        with atomic.writing(kept) as building:
            building.write_bytes(before)
        lines.append(f"           {kept} is what it was before")
    atomic.put_text(out, text)
    return lines


def _beside(out: Path) -> itertools.chain[Path]:
    numbered = (out.with_name(f"{out.stem}.before-{number}{out.suffix}") for number in itertools.count(2))
    return itertools.chain([out.with_name(f"{out.stem}.before{out.suffix}")], numbered)


def _found(found: Inspected, advised: Advice) -> list[str]:
    holds = parameters.summary(found.counts) if found.counts else "a feed, of which nothing is here yet"
    lines = [f"Found      {holds}", f'Source     "{found.source}", {found.metadata}']
    lines += [f"{name:<10} {text}" for name, text in found.found]
    told = {text for _, text in found.found}
    lines += [f"Note       {note}" for note in (*found.notes, *parameters.cautions(found.counts)) if note not in told]
    lines.append(f'Advice     {advised.config}, sampler "{advised.sampler}": {advised.why}')
    lines += [f"Advice     {advised.switch_on}"] * bool(advised.switch_on)
    return [" ".join(line.splitlines()) for line in lines]


def _next(found: Inspected, workspace: Path) -> list[str]:
    steps = [("python -m visnet feed", "bring the feed's batches")] * (
        found.source == "feed" and bool(found.own["from"])
    )
    steps += [("dvc repro", "from the photos to the answers")]
    steps += [("python -m visnet similar PHOTO.jpg", "the products most like a photo of yours")]
    lines = [f"{'Next' if at == 0 else '':<10} {step:<36} {why}" for at, (step, why) in enumerate(steps)]
    if not (workspace / "dvc.yaml").is_file():
        lines.append(f"           in a folder with dvc.yaml: {workspace.absolute()} has none")
    return lines
