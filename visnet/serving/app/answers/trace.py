"""From a product's record to its answers."""

from typing import Annotated, Literal

from pydantic import Field

from visnet.serving.app.answers.reply import Reply, shown_by

ID = "9fc8a1b2c3d4e5f60718293a4b5c6d7e"
RUN = "f3c3e4b3a4a14a41b40bf93bb22bec52"
DAGSTER_RUN = "0f4f0e6a-9c7d-4a53-9b0e-2f6f3b1c7a11"
EXAMPLE = {
    "product_id": "bags/17",
    "record": {"op": "upsert", "seq": 1041, "updated_at": "2026-11-26T16:02:11+00:00", "batch": "0417.jsonl"},
    "photos": [{"photo_id": f"{ID}.51f0c2a9", "crop": "51f0c2a9d3b4", "vector": "a04be1877c35"}],
    "version": {
        "catalog_version": 3,
        "published": "2026-11-26T17:00:00+00:00",
        "model": "483755ec",
        "precision": "float32",
        "dagster_run": DAGSTER_RUN,
        "dagster_url": f"https://dagster.shop.example/runs/{DAGSTER_RUN}",
        "mlflow_run": RUN,
        "mlflow_url": f"https://mlflow.shop.example/#/experiments/1/runs/{RUN}",
        "checked_out": True,
        "data": {"data/crops": "5d41402abc4b2a76b9719d911017c592.dir"},
    },
    "changes": [],
    "now": {"state": "answers", "changed": False, "photos": 1},
}
NOWHERE = "null where no address is configured, or the run is not known"


class RecordTraced(Reply):
    """A product's record in a feed, as the version has it."""

    op: str
    seq: int | None = None
    updated_at: Annotated[str | None, Field(description="as the record says")] = None
    batch: Annotated[str | None, Field(description="the newest in the inbox that has it, word for word")] = None
    lost: Annotated[str | None, Field(description="why no batch is named")] = None


class PhotoTraced(Reply):
    """What the line made of a shop photo: a crop, and of that a vector."""

    photo_id: Annotated[str, Field(description="as the version has it: `GET /v1/photos/{photo_id}`")]
    crop: Annotated[str, Field(description="the beginning of the hash of the crop")]
    vector: Annotated[str, Field(description="the beginning of the hash of the vector")]


class VersionTraced(Reply):
    """The version that answers, the runs that made it, and what DVC calls its data."""

    catalog_version: int
    published: str
    model: Annotated[str, Field(description="the beginning of the digest of its weights")]
    precision: str
    dagster_run: Annotated[str | None, Field(description="that published it; null where a shell did")] = None
    dagster_url: Annotated[str | None, Field(description=NOWHERE)] = None
    mlflow_run: Annotated[str | None, Field(description="in which the model learnt, where that is known")] = None
    mlflow_url: Annotated[str | None, Field(description=NOWHERE)] = None
    checked_out: Annotated[bool, Field(description="whether what is served is what the workspace has checked out")]
    data: Annotated[dict[str, str], Field(description="path to MD5, as dvc.lock has them, if it is checked out")]


class ChangeTraced(Reply):
    """A change that the service took since; `GET /v1/changes/{batch}` says more, to those with a key."""

    batch: str
    line: int
    op: str
    state: Literal["waiting", "visible", "dead"]
    accepted: str
    visible_since: str | None = None
    catalog_version: Annotated[int | None, Field(description="the published version that took it in")] = None


class NowTraced(Reply):
    """What the service makes of the product at this moment."""

    state: Annotated[Literal["answers", "withdrawn", "absent"], Field(description="absent: no photo of it can answer")]
    changed: Annotated[bool, Field(description="whether it answers otherwise than the version has it")]
    photos: int


class TraceAnswer(Reply):
    """The way from a product's record to its answers."""

    model_config = shown_by(EXAMPLE)

    product_id: str
    record: Annotated[RecordTraced | None, Field(description="null where the source is no feed")] = None
    photos: list[PhotoTraced]
    version: VersionTraced
    changes: Annotated[list[ChangeTraced], Field(description="the newest first")]
    now: NowTraced
