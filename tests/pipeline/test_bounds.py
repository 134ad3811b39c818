"""Every number of every stage's parameters has bounds, every word a list; what is out of them is refused in a line."""

import dataclasses
import math
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from tests.test_structure import ROOT
from visnet import zoo
from visnet.pipeline import stage as stages
from visnet.runs import runner

# Texts that may be anything, and what they are.
FREE = {
    **dict.fromkeys(("raw_images.metadata", "triplets.exclusions"), "a path"),
    **dict.fromkeys(("duplicates.decisions", "photo_quality.decisions"), "a path"),
    **dict.fromkeys(("raw_images.table.images", "raw_images.atlas.images"), "a folder"),
    "raw_images.feed.origin": "a folder or an address",
    "raw_images.feed.photos": "a folder or an address",
    "raw_images.feed.pattern": "a pattern of file names",
    "raw_images.street2shop.categories": "the source's own words",
    "raw_images.table.columns.*": "the table's own words",
    "raw_images.table.attributes": "the table's own words",
    "raw_images.table.levels": "what joins levels in the table",
    "raw_images.*.download.allow_paths": "folders",
    "raw_images.*.download.user_agent": "what a server reads",
    "triplets.similarity.weights": "imagenet, or the path of a file",
    "trained_model.config": "a name of the zoo, which suggests the nearest, or the path of a .toml",
    "trained_model.weights": "imagenet, package, none, or the path of a file",
}
OUTSIDE = (-(10**30), 10**30, -1e300, 1e300, math.nan, math.inf)


def fields_of(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the type of each field that is no table."""
    for name, field in model.model_fields.items():
        said = (*path, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, said)
        else:
            yield said, Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def kinds(hint: Any) -> set[Any]:
    """Return the plain types that a value may have, those of a list's items included."""
    if get_origin(hint) is Literal:
        return {Literal}
    if get_origin(hint) is Annotated and any(type(part).__name__ == "AfterValidator" for part in hint.__metadata__):
        return kinds(get_args(hint)[0]) - {str}  # it is held against a list of names
    if get_origin(hint) in (list, Union, types.UnionType, Annotated):
        return set().union(*(kinds(part) for part in get_args(hint) if part is not type(None)))
    return {hint} if isinstance(hint, type) else set()


FIELDS = [(stage, *found) for stage in stages.STAGES for found in fields_of(stages.module(stage).Params, ())]


def refusal(stage: str, path: tuple[str, ...], value: object) -> str:
    """Return why a value is refused in the table of params.toml, "" if it is taken."""
    table: dict[str, Any] = runner.read_params(ROOT / "params.toml")[stage]
    inner = table
    for name in path[:-1]:
        inner[name] = dict(inner.get(name, {}))
        inner = inner[name]
    inner[path[-1]] = value
    try:
        stages.parse(stage, table, "params.toml")
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("stage", "path", "hint"),
    [found for found in FIELDS if kinds(found[2]) & {int, float}],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else value if isinstance(value, str) else "",
)
def test_a_number_out_of_bounds_is_refused_with_what_is_allowed(stage: str, path: tuple[str, ...], hint: Any) -> None:
    for outside in OUTSIDE:
        if kinds(hint) == {int} and isinstance(outside, float):
            continue
        value = [outside, outside] if "list" in str(hint) else outside
        said = refusal(stage, path, value)
        assert said.startswith(f"params.toml: [{stage}] {'.'.join(path)}: must be "), f"{outside}: {said or 'taken'}"
        assert "Input should" not in said


def test_a_text_is_one_of_a_list_or_said_to_be_free() -> None:
    texts = {f"{stage}.{'.'.join(path)}" for stage, path, hint in FIELDS if str in kinds(hint)}
    free = {text for text in texts if any(_like(text, pattern) for pattern in FREE)}
    assert texts - free == set(), "give it a Literal or a registry, or say in FREE what it is"
    assert [pattern for pattern in FREE if not any(_like(text, pattern) for text in texts)] == []


def _like(text: str, pattern: str) -> bool:
    ours, theirs = text.replace(".from", ".origin").split("."), pattern.split(".")
    return len(ours) == len(theirs) and all(b in ("*", a) for a, b in zip(ours, theirs, strict=True))


ENTRY = zoo.entry("mildnet_small")
RECORDS = {"": ENTRY} | {
    field.name: getattr(ENTRY, field.name)
    for field in dataclasses.fields(ENTRY)
    if dataclasses.is_dataclass(getattr(ENTRY, field.name))
}


NUMBERS = [
    (name, field.name)
    for name, record in RECORDS.items()
    for field in dataclasses.fields(record)
    if type(getattr(record, field.name)) in (int, float)
]


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_a_number_of_a_zoo_entry_has_bounds(name: str, field: str) -> None:
    for outside in OUTSIDE:
        with pytest.raises(ValueError, match=field):
            dataclasses.replace(RECORDS[name], **{field: outside})


@pytest.mark.parametrize(
    ("stage", "path", "value", "said"),
    [
        ("knn_results", ("k",), 0, "k: must be at least 1 and at most 2048 (found 0)"),
        ("triplets", ("train",), 0, "train: must be at least 1 and at most 100000000 (found 0)"),
        ("trained_model", ("lr",), 0.0, "lr: must be above 0 and at most 1000000.0 (found 0.0)"),
        ("trained_model", ("side_px",), 8, "side_px: must be at least 64 and at most 2048 (found 8)"),
        ("catalog_embeddings", ("precision",), "fp8", "precision: allowed are auto, fp32, bf16 (found 'fp8')"),
        ("raw_images", ("source",), "tabel", "table, atlas, feed; is 'table' meant? (found 'tabel')"),
        (
            "triplets",
            ("sampler",),
            "x",
            "sampler: allowed are street2shop, metadata, biss, importance, none (found 'x')",
        ),
        ("triplets", ("similarity", "scorers"), ["hue"], "similarity.scorers.0: allowed are deep, colour, pattern"),
        ("triplets", ("similarity", "scorers"), [], "similarity.scorers: must not be empty"),
        ("triplets", ("biss", "first"), 1, "needed is 1 <= positives < first <= last"),
        (
            "triplets",
            ("metadata",),
            dict.fromkeys(("product_out", "product_in", "colour_out", "colour_in"), 0.0),
            "all",
        ),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_allowed_is_said(stage: str, path: tuple[str, ...], value: object, said: str) -> None:
    assert said in refusal(stage, path, value)
