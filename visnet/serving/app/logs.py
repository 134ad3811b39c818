"""What a service writes of itself: plain lines, or one JSON object a line, for what collects and searches them."""

import contextlib
import contextvars
import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["text", "json"]
FIELDS = "visnet_fields"  # of a record: what stands in its object beside the message

log = logging.getLogger("visnet.serving")
requests = logging.getLogger("visnet.requests")  # a line for each; plain lines have none of them
_SECRET = re.compile(r"\bvn_[\w-]+")
_ADDRESS = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+")


@dataclass
class RequestNotes:
    """What is noted of a request while it is answered: the id that its answer names, and the version that answers."""

    request_id: str
    version: int | None = None


_notes: contextvars.ContextVar[RequestNotes | None] = contextvars.ContextVar("visnet_request", default=None)


@contextlib.contextmanager
def noted(request_id: str) -> Iterator[RequestNotes]:
    """Have what is logged until the block ends name this request."""
    notes = RequestNotes(request_id)
    before = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(before)


def notes() -> RequestNotes | None:
    """Return the notes of the request that is answered here, None where none is."""
    return _notes.get()


class JsonLines(logging.Formatter):
    """Formats records as JSON objects: time, level, logger, message, request_id, fields, and an error's trace.

    No key and no address of elsewhere stands in a message or a trace, whoever wrote them there.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        of = notes()
        if of is not None:
            told["request_id"] = of.request_id
        told |= getattr(record, FIELDS, {})
        if record.exc_info:
            told["trace"] = _clean(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False, default=str)


def configure(form: Format) -> None:
    """Have all loggers of this process write in a form; "text" leaves them as they are."""
    if form == "text":
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("visnet").setLevel(logging.INFO)


def say(form: Format, text: str, **fields: Any) -> None:
    """Tell a person, or in a record, what the service does."""
    if form == "text":
        print(text, flush=True)
    else:
        log.info(text.partition("\n")[0], extra={FIELDS: fields})


def _clean(text: str) -> str:
    return _ADDRESS.sub("…", _SECRET.sub("vn_…", text))
