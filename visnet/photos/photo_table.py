"""The table of photos: bytes as the source gave them, or why there are none; brought up to date as answers come."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from visnet.photos.loss_gate import LossGate
from visnet.photos.validators import PhotoValidators, content
from visnet.photos.web.download import Answer
from visnet.photos.web.proxies import Unusable
from visnet.pipeline.budget import BATCH_BYTES
from visnet.pipeline.log import Log, Progress
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprints
from visnet.storage.table import Difference, Table, wanted_rows

PHOTO = pa.schema(
    [
        ("photo_id", pa.string()),
        ("locator", pa.string()),
        ("image", pa.large_binary()),  # as the source gave it; null when lost
        ("bytes", pa.int64()),
        ("lost", pa.string()),  # the reason; null when there
        ("asked", pa.int64()),  # the value of `ask_again` when the source was last asked
        *HASH_COLUMNS,
    ]
)
Fetch = Callable[
    ..., Iterable[Answer]
]  # (wanted (photo_id, locator) pairs, and `known` validators where it takes some)


@dataclass(frozen=True)
class Update:
    """What is to happen to the photos table.

    photos: photo_id and locator of all that the source lists. again: lost photos that are asked for once more.
    """

    table: Table
    photos: pa.Table
    change: Difference
    again: set[str]
    validators: PhotoValidators
    ask_again: int

    @cached_property
    def locators(self) -> dict[str, str]:
        """Return photo_id -> locator."""
        return dict(zip(*(self.photos[name].to_pylist() for name in ("photo_id", "locator")), strict=True))

    @cached_property
    def sources(self) -> dict[str, str]:
        """Return photo_id -> what its row is made from."""
        rows = wanted_photos(self.photos)
        return dict(zip(*(rows[name].to_pylist() for name in ("key", "source")), strict=True))

    @cached_property
    def todo(self) -> list[str]:
        """The photos to ask for."""
        return sorted({*self.change.todo, *(self.again & self.locators.keys()), *self.validators.stale})


def wanted_photos(photos: pa.Table) -> pa.Table:
    """Return the rows that the table should have for the photos (photo_id, locator) that a source lists."""
    return wanted_rows(photos["photo_id"].to_pylist(), fingerprints(photos["locator"]))


def lost_before(table: Table, ask_again: int) -> set[str]:
    """Return the photos that are lost and were not asked for since `ask_again` was raised."""
    if not table.exists():
        return set()
    return set(table.read(["photo_id"], f"lost IS NOT NULL AND asked < {ask_again}")["photo_id"].to_pylist())


def bring(
    update: Update,
    fetch: Fetch,
    *,
    stage: str,
    conditional: bool,
    lost_share_max: float | None,
    commit_every: int,
    log: Log,
) -> None:
    """Ask the source for what is not there yet, and commit it as it comes; photos that stand are lost last of all.

    conditional: whether `fetch` takes the validators of what is there. Errors: `TooManyLost`, and `Unusable` once what
    did not need what is unusable is kept.
    """
    table, validators, locators, todo = update.table, update.validators, update.locators, update.todo
    if not table.exists():
        table.put(PHOTO.empty_table())
    replaced = {*update.change.changed, *update.again, *validators.stale}.difference(update.change.new)
    gate = LossGate(
        table, stage=stage, redone=[*replaced, *update.change.gone], count=len(locators), share_max=lost_share_max
    )
    unusable: list[Unusable] = []
    held: list[Answer] = []  # lost photos that stand there now
    known: dict[str, Any] = {"known": validators.known_of_photo} if conditional else {}
    with log.progress("photos", len(locators), done=len(locators) - len(todo), unit="photo") as progress:
        answers = fetch([(photo_id, locators[photo_id]) for photo_id in todo], **known)
        for batch in _batches(_counted(_until(answers, unusable), progress), commit_every):
            changing = validators.changing(batch)
            back = gate.note({answer.photo_id: answer.lost for answer in changing if answer.lost is not None})
            held += [answer for answer in changing if answer.photo_id in back]
            table.put(_rows([answer for answer in changing if answer.photo_id not in back], update), replaced)
            validators.keep(answer for answer in batch if answer.photo_id not in back)
        table.put(_rows(held, update), replaced)
        validators.keep(held)
    if unusable:
        raise unusable[0]


def _until(answers: Iterable[Answer], unusable: list[Unusable]) -> Iterable[Answer]:
    """Pass the answers on until the environment turns out to be unusable."""
    try:
        yield from answers
    except Unusable as error:
        unusable.append(error)


def _counted(answers: Iterable[Answer], progress: Progress) -> Iterable[Answer]:
    lost = 0
    for answer in answers:
        lost += answer.lost is not None
        progress.advance(lost=lost)
        yield answer


def _batches(answers: Iterable[Answer], size: int, limit_bytes: int = BATCH_BYTES) -> Iterable[list[Answer]]:
    batch: list[Answer] = []
    held = 0
    for answer in answers:
        batch.append(answer)
        held += len(answer.data or b"")
        if len(batch) >= size or held >= limit_bytes:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _rows(answers: Sequence[Answer], update: Update) -> pa.Table:
    answers = sorted(answers, key=lambda answer: answer.photo_id)
    columns = {
        "photo_id": [answer.photo_id for answer in answers],
        "locator": [update.locators[answer.photo_id] for answer in answers],
        "image": [answer.data for answer in answers],
        "bytes": [len(answer.data) if answer.data is not None else 0 for answer in answers],
        "lost": [answer.lost for answer in answers],
        "asked": [update.ask_again] * len(answers),
        "source": [update.sources[answer.photo_id] for answer in answers],
        "content": [content(answer) for answer in answers],
    }
    return pa.table(columns, schema=PHOTO)
