"""The commands of the change feed: bring its new batches here, and write the synthetic shop's.

What a command does not need is not imported: Lance and pandas take seconds.
"""

import datetime
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Share = Annotated[float, Option(min=0, max=1, help="Share of the records.")]


def feed(
    names: Annotated[list[str] | None, Argument(metavar="NAME", help="Just these batches, again.")] = None,
) -> str:
    """Bring the change feed's new batches into the inbox, and check them."""
    from visnet.commands import feed

    return feed.bring(names or ())


def emit_feed(
    out: Annotated[Path, Argument(metavar="OUT", help="The folder that they are written under.")],
    *,
    hours: Annotated[int, Option(min=1, help="How many batches, the first the whole catalog.")] = 24,
    first: Annotated[int, Option(min=0, help="The hour to begin with, those before it being there already.")] = 0,
    products: Annotated[int, Option(min=1, help="How many at first.")] = 440,
    churn: Annotated[float, Option(min=0, max=1, help="Share that changes in an hour.")] = 0.02,
    seed: Annotated[int, Option(min=0, help="Of all that is drawn.")] = 7,
    start: Annotated[
        datetime.datetime, Option(metavar="TIME", help="When the first hour is: ISO 8601, UTC where no zone is given.")
    ] = datetime.datetime(2026, 1, 5),
    side_px: Annotated[int, Option(min=16, max=1024, help="A shop photo's side.")] = 160,
    photos: Annotated[tuple[int, int], Option(metavar="LEAST MOST", help="Shop photos of a product.")] = (2, 3),
    late: Share = 0.1,
    repeated: Share = 0.1,
    bad: Share = 0.02,
) -> str:
    """Write the synthetic shop as a change feed: batches/, photos/, truth/."""
    from visnet.commands import feed
    from visnet.synthetic.trade import Habits

    habits = Habits(
        products=products,
        churn=churn,
        seed=seed,
        side_px=side_px,
        shop_photos=photos,
        late=late,
        repeated=repeated,
        bad=bad,
        start=start if start.tzinfo else start.replace(tzinfo=datetime.UTC),
    )
    return feed.emit(out, habits, hours, first)
