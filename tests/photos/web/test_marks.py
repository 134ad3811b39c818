"""A photo whose mark is known is sent only if it changed."""

import os
from pathlib import Path

import pytest

from tests.image_server import ImageServer
from tests.photos.web.fetching import QUICK, fetch_all
from visnet.photos.web import download, request
from visnet.photos.web.download import Answer
from visnet.photos.web.options import FetchOptions


def test_an_unchanged_photo_is_an_answer_of_its_own() -> None:
    assert Answer("7", None, None, unchanged=True).data is None
    with pytest.raises(ValueError, match="photo '7'"):
        Answer("7", b"x", None, unchanged=True)


@pytest.mark.parametrize("marks", [("ETag",), ("Last_Modified",), ("ETag", "Last_Modified")])
def test_a_photo_with_a_known_mark_is_sent_only_if_it_changed(photo: bytes, marks: tuple[str, ...]) -> None:
    with ImageServer(photo, {"moved.jpg": "moved"}) as server:
        server.marks = marks
        wanted = [(path, server.url(path)) for path in ("same.jpg", "other.jpg", "moved.jpg")]
        known = {a.photo_id: a.validators for a in fetch_all(wanted)}
        assert all(bool(mark.etag) == ("ETag" in marks) for mark in known.values())
        assert all(bool(mark.last_modified) == ("Last_Modified" in marks) for mark in known.values())
        server.photos["other.jpg"] = photo + b"\0"
        server.dates["other.jpg"] = "Tue, 06 Jan 2026 00:00:00 GMT"
        again = {a.photo_id: a for a in download.fetch(wanted, options=FetchOptions(**QUICK), known=known)}
    assert {p: (a.data, a.unchanged) for p, a in again.items()} == {
        "same.jpg": (None, True),
        "other.jpg": (photo + b"\0", False),
        "moved.jpg": (None, True),  # the condition goes along with a redirect
    }
    assert again["same.jpg"].validators == known["same.jpg"]
    assert again["other.jpg"].validators != known["other.jpg"]
    assert server.bodies == {"same.jpg": 1, "other.jpg": 2, "moved.jpg": 1}


def test_a_server_that_marks_nothing_is_asked_without_a_condition(photo: bytes) -> None:
    with ImageServer(photo) as server:
        wanted = [("a", server.url("a"))]
        known = {a.photo_id: a.validators for a in fetch_all(wanted)}
        (answer,) = download.fetch(wanted, options=FetchOptions(**QUICK), known=known)
    assert (known, answer.data) == ({"a": request.NO_VALIDATORS}, photo)


def test_a_file_is_read_again_when_its_time_or_size_differ(photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photo)
    (first,) = fetch_all([("a", str(path))], base=str(tmp_path))
    known = {"a": first.validators}
    (second,) = download.fetch([("a", str(path))], options=FetchOptions(), base=str(tmp_path), known=known)
    assert second.unchanged
    os.utime(path, ns=(0, 0))
    (third,) = download.fetch([("a", str(path))], options=FetchOptions(), base=str(tmp_path), known=known)
    assert (third.data, third.unchanged) == (photo, False)
