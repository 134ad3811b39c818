"""What was found, and what suits it, as the text of params.toml: every table, with comments on what was chosen."""

import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from visnet.inspection.advice import Advice, lost_share_max
from visnet.inspection.inspected import Counts, Inspected

WIDTH, COMMENTS_AT = 118, 46


def text(found: Inspected, advised: Advice, workspace: Path, *, replaces: bool) -> str:
    """Write params.toml for a folder; replaces: what is served there now is another catalog."""
    source = {"source": found.source, "metadata": path_from(found.metadata, workspace)}
    gates = {**advised.tables["publish"], **({"removed_share_max": 1.0} if replaces else {})}
    numbers: dict[str, dict[str, Any]] = {
        "raw_images": {
            **source,
            "lost_share_max": lost_share_max(found.counts),
            "ask_again": 0,
            "commit_every": 2048,
            found.source: found.own,
        },
        "crops": {"side_px": 224, "quality": 90, **advised.tables["crops"], "small_categories": "drop", "seed": 1},
        "triplets": {**advised.tables["triplets"], "seed": 1},
        "trained_model": {"config": advised.config, "version": 0, "seed": 1},
        "catalog_embeddings": {"batch": 16, "precision": "auto", "commit_every": 2048},
        "knn_results": {"k": 20, "similar_k": 12},
        "evaluation": {"recall_at_1_margin": 0.01, **advised.tables["evaluation"]},
        "publish": {"keep": 5, "probe_recall_at_1_drop_max": 0.05, **gates},
    }
    why = {"triplets": f'sampler "{advised.sampler}": {advised.why}'}
    if advised.switch_on:
        why["crops"] = advised.switch_on
    if replaces:
        why["publish"] = "removed_share_max: another catalog is served now, all of which goes; from then on 0.2"
    tables = [piece for name, values in numbers.items() for piece in _table(name, values, why.get(name, ""))]
    return "\n".join([*_head(found), "", *tables])


def summary(counts: Counts) -> str:
    """Say in a line what a listing holds."""
    street = f", {counts.street} of them street photos," * bool(counts.street)
    return (
        f"{_many(counts.photos, 'photo')}{street} of {_many(counts.products, 'product')} "
        f"in {_many(counts.categories, 'category')}"
    )


def cautions(counts: Counts | None) -> list[str]:
    """Say what of it the line will leave out, or cannot do."""
    if counts is None:
        return []
    said = [f"{_many(count, 'row')} or file(s) left out: {reason}" for reason, count in counts.dropped.items()]
    if counts.lone_categories == counts.categories:
        said.append("no category has two products to tell apart: the stage crops wants more photos")
    elif counts.lone_categories:
        lone = "categories that have" if counts.lone_categories > 1 else "category that has"
        said.append(f'{counts.lone_categories} {lone} fewer than two products left out: small_categories = "drop"')
    return said


def path_from(path: Path, workspace: Path) -> str:
    """Return a path as params.toml gives it: from its folder where it is below that, else the whole."""
    absolute, base = os.path.abspath(path), os.path.abspath(workspace)
    return os.path.relpath(absolute, base) if absolute.startswith(base.rstrip("/") + "/") else absolute


_SAY: Mapping[str, Mapping[str, str]] = {
    "raw_images": {
        "source": "synthetic | folder | street2shop | table | atlas | feed",
        "metadata": "what is read; when it changes, it is listed again",
        "lost_share_max": "gate: more lost photos than this stop the line",
        "ask_again": "raise by one to ask again for lost and changed photos",
        "commit_every": "photos per commit; a killed run repeats at most these",
    },
    "raw_images.table": {"attributes": "further columns, shown and filtered by"},
    "crops": {
        "side_px": "the longer side; crops are never enlarged",
        "validation_share": "of the training products",
        "test_share": "of the products, which ask in the evaluation",
        "lost_share_max": "gate: a run that would take away more changes nothing",
        "shared_products": "refuse | allow: may a product stand in two splits?",
        "small_categories": "refuse | drop: what of a category of one product?",
    },
    "triplets": {"sampler": "none | street2shop | metadata | biss | importance"},
    "triplets.metadata": {
        "product_out": "alike: another photo of the product; unlike: another category",
        "product_in": "unlike: another product of the category",
        "colour_out": "alike: a product of the same category and colour",
    },
    "trained_model": {
        "config": "a file of visnet/zoo (python -m visnet zoo)",
        "version": "above 0: take this registered model instead",
    },
    "catalog_embeddings": {"precision": "bf16 on a GPU, and with AMX but for light networks; else fp32"},
    "knn_results": {"k": "shop products per street photo", "similar_k": "similar products per product"},
    "evaluation": {
        "recall_at_1_margin": "gate: how far below the champion's",
        "baselines": "what is measured beside it: frozen, untrained, colour_histogram",
    },
    "publish": {
        "keep": "versions that stay for `python -m visnet rollback`",
        "probe_recall_at_1_drop_max": "gate: recall@1 of the street photos of the version before",
        "removed_share_max": "gate: products of the version before that are no more",
        "lost_share_max": "gate: lost photos among all",
    },
}


def _head(found: Inspected) -> list[str]:
    intro = (
        f"Written by `python -m visnet init {found.target}`. Change a value, run `dvc repro` (or press Materialize), "
        "and only what depends on it runs again."
    )
    holds = f"Found: {summary(found.counts)}." if found.counts else "Nothing of the feed is here yet."
    bullets = [f"* {note}" for note in (*found.notes, *cautions(found.counts))]
    return [*_comment(intro), "#", *_comment(holds), *(line for note in bullets for line in _comment(note, "  "))]


def _comment(words: str, later: str = "") -> list[str]:
    """Wrap words into lines of comment, whatever signs the names of files hold."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in " ".join(words.split()))
    wrapped = textwrap.wrap(plain, WIDTH - 2, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in wrapped]


def _table(name: str, values: Mapping[str, Any], why: str = "") -> Iterator[str]:
    """Yield a table's text, then those of the tables in it; one that is empty is left out."""
    lines = [*_comment(why), f"[{name}]"]
    for key, value in values.items():
        if not isinstance(value, Mapping):
            line = f"{key} = {tomlkit.item(value).as_string()}"
            say = _SAY.get(name, {}).get(key)
            lines.append(f"{line:<{COMMENTS_AT - 1}} # {say}" if say else line)
    if len(lines) > len(_comment(why)) + 1:
        yield "\n".join(lines) + "\n"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _table(f"{name}.{key}", value)


def _many(count: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"
