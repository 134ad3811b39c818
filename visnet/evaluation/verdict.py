"""Whether a model may be served: how it answers the street photos that the champion has answered, too.

Both have answered n photos; b of them right by the new model alone, c by the champion alone. The difference of recall@1
is d = (b − c) / n. Its 95 % interval is that of Agresti and Min (Statistics in Medicine 24, 2005) for matched pairs: a
half is added to each of the four cells, so that N = n + 2 and D = (b − c) / N, and the interval is

    D ± 1.96 · sqrt((b + 1/2 + c + 1/2) / N − D²) / sqrt(N).

A model is refused when the whole interval lies below −margin: a drop larger than allowed, and not by chance. A question
is the same photo on both sides, so what a catalog gains or loses elsewhere does not end the comparison.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

FILE = "verdict.json"
QUERIES = "queries.parquet"
COMMON_MIN = 20  # with fewer questions in common a model that lost half of its recall could still pass by chance
AGAIN = "`dvc repro --force --single-item evaluation`"
Z = 1.959964  # 97.5 % of the normal distribution lie below


@dataclass(frozen=True)
class RecallDifference:
    """How two models answer the same questions: their recall@1, and the 95 % interval of the first less the second."""

    questions: int
    recall_at_1: float
    other_recall_at_1: float
    low: float
    high: float

    def floor(self, margin: float) -> float:
        """Return the recall@1 at which the interval would just reach −margin."""
        return round(self.recall_at_1 - self.high - margin, 6)


@dataclass(frozen=True)
class Verdict:
    """What the evaluation says of a model (the first 32 digits of its digest): may it be served, and why.

    `passed` is None when the tracker, which knows the champion, could not be asked.
    """

    model: str
    passed: bool | None
    why: str
    champion: str | None = None
    common_queries: int | None = None
    common_recall_at_1: float | None = None
    champion_recall_at_1: float | None = None
    common_recall_at_1_min: float | None = None

    def write(self, evaluation: Path) -> None:
        """Leave the verdict in the evaluation's artefact."""
        (evaluation / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def report(self) -> dict[str, str | int | float | bool | None]:
        """Return what the evaluation's report says of it."""
        fields = asdict(self)
        return {key: fields[key] for key in fields if key not in ("model", "why")} | {"verdict": self.why}


def read(evaluation: Path) -> Verdict:
    """Read the verdict that an evaluation left; `ValueError` when there is none."""
    path = evaluation / FILE
    try:
        return Verdict(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run {AGAIN}") from None
    except (ValueError, TypeError):
        raise ValueError(f"{path} is damaged; run {AGAIN}") from None


def hits(queries: Path) -> dict[str, bool]:
    """Return street crop -> whether its first answer was its product, from the `queries.parquet` of an evaluation."""
    table = pq.read_table(queries, columns=["query_id", "rank_trained"])
    return {query: rank == 0 for query, rank in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def compare(ours: Mapping[str, bool], theirs: Mapping[str, bool]) -> RecallDifference | None:
    """Compare two models on the questions that both have answered; None where they share none."""
    common = ours.keys() & theirs.keys()
    if not common:
        return None
    gained = sum(ours[query] and not theirs[query] for query in common)
    lost = sum(theirs[query] and not ours[query] for query in common)
    n = len(common) + 2
    middle = (gained - lost) / n
    half = Z * math.sqrt(((gained + lost + 1) / n - middle**2) / n)
    recall, other = (round(sum(hit[query] for query in common) / len(common), 6) for hit in (ours, theirs))
    return RecallDifference(len(common), recall, other, round(middle - half, 6), round(middle + half, 6))


def judge(model: str, ours: Mapping[str, bool], champion: str, theirs: Mapping[str, bool], margin: float) -> Verdict:
    """Hold a model's answers against those of the champion (its version in the registry)."""
    found = compare(ours, theirs)
    common = 0 if found is None else found.questions
    if found is None or common < COMMON_MIN:
        too_few = f"{common} street photos were answered by this model and by the champion, version {champion}, too"
        why = f"not comparable: {too_few}; at least {COMMON_MIN} are needed"
        if len(ours) < COMMON_MIN:  # no champion could ever be compared on so few
            return Verdict(model, True, f"{why}, and the test has {len(ours)}: no gate", champion, common)
        if margin >= 1:  # as far as recall can drop: whatever came of the comparison would pass
            return Verdict(model, True, f"{why}, but every drop is allowed", champion, common)
        cure = f"run `python -m visnet experiment --version {champion}`, which has it answer today's"
        return Verdict(model, False, f"{why}; {cure}, then {AGAIN}", champion, common)
    passed, floor = found.high >= -margin, found.floor(margin)
    why = (
        f"recall@1 is {found.recall_at_1:.4f} on the {common} street photos that the champion, version {champion}, has "
        f"answered, too: {found.other_recall_at_1:.4f}; the 95 % interval of the difference is {found.low:.4f} to "
        f"{found.high:.4f}, allowed is {-margin:g}"
    )
    if not passed:
        allowed = math.ceil(-found.high * 1e4) / 1e4
        why += f"; if this is meant, set [evaluation] recall_at_1_margin = {allowed:g}"
    return Verdict(model, passed, why, champion, common, found.recall_at_1, found.other_recall_at_1, floor)
