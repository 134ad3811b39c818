"""What all answers are, and where each is from."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

LINEAGE: dict[str, Any] = {
    "catalog_version": 3,
    "published": "2026-11-26T17:00:00+00:00",
    "model": "483755ec",
    "mlflow_run": None,
    "dagster_run": None,
    "exact": True,
    "duplicate_groups": 41,
}


def shown_by(example: dict[str, Any]) -> ConfigDict:
    """Have the documentation show what an answer looks like."""
    return ConfigDict(frozen=True, json_schema_extra={"examples": [example]})


class Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lineage(Reply):
    """Where an answer is from: the published catalog, and the model that made its vectors."""

    catalog_version: int
    published: str
    model: Annotated[str, Field(description="the beginning of the digest of its weights")]
    mlflow_run: Annotated[str | None, Field(description="in which the model learnt, where that is known")] = None
    dagster_run: Annotated[str | None, Field(description="that published the version; null where a shell did")] = None
    exact: Annotated[bool, Field(description="whether no nearer product can have been left out")] = True
    duplicate_groups: Annotated[
        int,
        Field(description="how many double listings were confirmed, which collapse=duplicates brings together"),
    ] = 0
