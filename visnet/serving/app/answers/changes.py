"""What became of what was told: events, and changes of the catalog."""

from typing import Annotated, Literal

from pydantic import Field

from visnet.serving.app.answers.reply import Reply, shown_by


class EventsAnswer(Reply):
    """How many events came, and how many of them were new."""

    received: int
    new: Annotated[int, Field(description="the others were told before, and are kept once")]


class ChangeTold(Reply):
    """What became of a change."""

    line: Annotated[int, Field(description="its place in what was sent, from 1")]
    product_id: str
    op: str
    state: Annotated[
        Literal["waiting", "visible", "dead"],
        Field(description="waiting for its photos; visible in every answer; dead, without effect"),
    ]
    reason: Annotated[str | None, Field(description="why it is dead")] = None
    visible_since: str | None = None
    catalog_version: Annotated[int | None, Field(description="the published version that took it in")] = None


class ChangesAnswer(Reply):
    """The changes that were sent together, which `GET /v1/changes/{batch}` tells again."""

    model_config = shown_by(
        {
            "batch": "b_3f9c2b1d5e6f7081",
            "changes": [
                {
                    "line": 1,
                    "product_id": "bags/17",
                    "op": "upsert",
                    "state": "waiting",
                    "reason": None,
                    "visible_since": None,
                    "catalog_version": None,
                }
            ],
        }
    )

    batch: str
    changes: list[ChangeTold]
