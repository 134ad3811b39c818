"""What a service is told when it starts."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from visnet.pipeline.reports import DATA
from visnet.serving.app.logs import Format
from visnet.serving.batch_of import Origin
from visnet.serving.events import FILE
from visnet.serving.following import EVERY_S
from visnet.serving.live.line import OFF, Line
from visnet.serving.live.store import LIVE

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def page_address(given: str) -> str:
    """Return the address of another server's pages without a slash at its end; `ValueError` for what is none."""
    try:
        parts = urlsplit(given)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        fits = False
    if given and not fits:
        raise ValueError("an http or https address without a password is allowed, or nothing")
    return given.rstrip("/")


class Settings(BaseModel):
    """Limits and places of a service.

    data: the folder in which versions are published. keep_queries: how many photos that were asked with are kept for
    permalinks, the newest; 0 keeps none. concurrency: requests with photos that one process works on at a time; more
    are asked to come again. body_bytes: of all photos of a request together. hosts: the names under which it answers,
    any if empty. url_photos: whether a photo may be given by its address on the public web; url_hosts: names, addresses
    and networks that may be asked for one though they are not public. watch_s: how often it looks for a newer version.
    line: where changes go, or why none are taken. file_s: how often they are written into the feed. keys_for_reading:
    nothing but health is answered without a key. searches_per_s, writes_per_s: of one client. rates: the folder where
    several processes count these together, None for a process that is alone. origin: where the line's records come
    from, None where that is not known. dagster_ui, mlflow_ui: where people see their pages, "" for no links to them.
    log_format: "json" writes an object a line, one for each request among them. remote: the URL from which versions are
    fetched, "" for those that are published here; pull_s: how often it looks there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = DATA
    keep_queries: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    decoding_threads: Annotated[int, Field(ge=1, le=64)] = 2
    body_bytes: Annotated[int, Field(ge=1024)] = 20_000_000
    body_s: Annotated[float, Field(gt=0)] = 60.0
    hosts: tuple[str, ...] = LOOPBACK
    url_photos: bool = False
    url_hosts: tuple[str, ...] = ()
    watch_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    line: Line | str = OFF
    file_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    keys_for_reading: bool = False
    searches_per_s: Annotated[float, Field(gt=0)] = 100.0
    writes_per_s: Annotated[float, Field(gt=0)] = 200.0
    rates: Path | None = None
    origin: Origin | None = None
    dagster_ui: Annotated[str, AfterValidator(page_address)] = ""
    mlflow_ui: Annotated[str, AfterValidator(page_address)] = ""
    log_format: Format = "text"
    remote: str = ""
    pull_s: Annotated[float, Field(gt=0, le=3600)] = EVERY_S

    @property
    def queries(self) -> Path:
        """The file in which queries are kept."""
        return self.data / "queries.sqlite"

    @property
    def live(self) -> Path:
        """The file in which changes are kept."""
        return self.data / LIVE

    @property
    def events(self) -> Path:
        """The file in which events are kept."""
        return self.data / FILE
