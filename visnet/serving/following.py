"""A service that follows versions in an object store: it fetches each new one, and goes on when the store is away."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from visnet.serving import remote, versions

log = logging.getLogger("visnet.serving")
EVERY_S = 5.0


@contextlib.contextmanager
def following(url: str, data: Path, every_s: float = EVERY_S) -> Iterator[None]:
    """Serve what is published at a URL, now and until the block ends; `ValueError` when there is nothing to begin with.

    url: s3://BUCKET/FOLDER, or "" for what is published on this machine alone.
    """
    if not url:
        yield
        return
    try:
        said = remote.pull(url, data)
    except (ValueError, OSError) as error:
        if versions.intact(data / "publish") is None:
            raise
        said = f"{error}; what is here answers meanwhile"
    if said:
        print(said, flush=True)
    done = threading.Event()
    threading.Thread(target=_follow, args=(url, data, every_s, done), name="following", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _follow(url: str, data: Path, every_s: float, done: threading.Event) -> None:
    fault = ""
    while not done.wait(every_s):
        try:
            said = remote.pull(url, data)
        except Exception as error:  # whatever is wrong there, what is here answers
            if str(error) != fault:
                log.error("%s is not followed: %s", url, error)
            fault = str(error)
            continue
        if fault:
            log.warning("%s is followed again", url)
        if said:
            log.warning("%s", said)
        fault = ""
