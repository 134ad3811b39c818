"""Fetching to the end, quickly given up, and no thread left of it."""

import threading

from visnet.photos.web import download
from visnet.photos.web.download import Answer
from visnet.photos.web.options import FetchOptions

# A loaded machine is no fault of the web: only a photo that must be waited out is given up soon.
QUICK = {"timeout_s": 15.0, "deadline_s": 40.0, "backoff_s": 0.02, "max_mb": 2.0, "allow_hosts": ["127.0.0.1"]}
HASTY = {"timeout_s": 2.0, "deadline_s": 2.5}


def assert_no_thread_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("visnet-download"):
            thread.join(2)
            assert not thread.is_alive(), thread


def fetch_all(wanted: list[tuple[str, str]], base: str = "", **options: object) -> list[Answer]:
    return list(download.fetch(wanted, options=FetchOptions(**{**QUICK, **options}), base=base))
