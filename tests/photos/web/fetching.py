"""Fetching to the end, quickly given up, and no thread left of it."""

import threading

from visnet.photos.web import download
from visnet.photos.web.download import Answer
from visnet.photos.web.options import FetchOptions

QUICK = {"timeout_s": 1.0, "deadline_s": 2.0, "backoff_s": 0.02, "max_mb": 2.0, "allow_hosts": ["127.0.0.1"]}


def assert_no_thread_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("visnet-download"):
            thread.join(2)
            assert not thread.is_alive(), thread


def fetch_all(wanted: list[tuple[str, str]], base: str = "", **options: object) -> list[Answer]:
    return list(download.fetch(wanted, options=FetchOptions(**{**QUICK, **options}), base=base))
