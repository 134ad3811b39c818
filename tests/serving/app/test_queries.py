"""Queries are kept for their links: the newest, each photo once, whoever of several processes writes them."""

import sqlite3
import threading
from pathlib import Path

import pytest
import torch

from visnet.errors import NotFound
from visnet.serving.app.queries import KeptBox, Query, QueryStore, part_id


def query(*photos: bytes) -> Query:
    boxes = [KeptBox((1.0, 2.0, 3.5, 4.0), 0.75, "proposed", True), KeptBox((0.0, 0.0, 9.0, 8.0), None, "whole", False)]
    return Query(photos, 9, 8, boxes, "a model", torch.tensor([[0.1, -0.2]]))


def count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as database:
        (number,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    database.close()
    return int(number)


def test_what_is_kept_is_found_as_it_was(tmp_path: Path) -> None:
    store = QueryStore(tmp_path / "queries.sqlite", 10)
    asked = query(b"front", b"back", b"front")
    (name,) = store.put([asked])
    found = store.get(name)
    assert (list(found.photos), found.boxes, found.model) == ([b"front", b"back", b"front"], asked.boxes, "a model")
    assert (found.width, found.height) == (9, 8)
    assert torch.equal(found.vectors, asked.vectors)
    store.close()


def test_each_box_of_a_grouped_query_is_one_of_its_own(tmp_path: Path) -> None:
    store = QueryStore(tmp_path / "queries.sqlite", 10)
    boxes = [KeptBox((1.0, 2.0, 3.5, 4.0), None, "given", True), KeptBox((5.0, 2.0, 6.0, 4.0), None, "given", True)]
    boxes.append(KeptBox((0.0, 0.0, 9.0, 8.0), None, "whole", False))
    asked = Query([b"front"], 9, 8, boxes, "a model", torch.tensor([[0.1, -0.2], [0.3, 0.4]]), grouped=True)
    (name,) = store.put([asked])
    found, second = store.get(name), store.get(str(part_id(name, 2)))
    assert (found.grouped, found.boxes) == (True, boxes)
    assert torch.equal(found.vectors, asked.vectors)
    assert (second.grouped, [box.used for box in second.boxes]) == (False, [False, True, False])
    assert torch.equal(second.vectors, asked.vectors[1:])
    for none in (f"{name}-0", f"{name}-3", f"{name}-", f"{store.put([query(b'front')])[0]}-1"):
        with pytest.raises(NotFound, match="is no part of"):
            store.get(none)
    store.close()


def test_the_newest_stay_and_a_photo_goes_with_the_last_query_that_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "queries.sqlite"
    store = QueryStore(path, 3)
    names = [store.put([query(b"shared", b"own %d" % number)])[0] for number in range(7)]
    for name in names[:4]:
        with pytest.raises(NotFound, match="is not kept; the newest 3 are"):
            store.get(name)
    assert [list(store.get(name).photos) for name in names[4:]] == [[b"shared", b"own %d" % at] for at in (4, 5, 6)]
    assert (count(path, "queries"), count(path, "shows"), count(path, "photos")) == (3, 6, 4)
    store.close()


def test_two_stores_of_one_file_write_at_once_and_read_each_others(tmp_path: Path) -> None:
    stores = [QueryStore(tmp_path / "queries.sqlite", 1000) for _ in range(2)]
    names: list[str] = []

    def write(store: QueryStore) -> None:
        names.extend(store.put([query(b"a photo")])[0] for _ in range(40))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 80
    assert all(list(store.get(name).photos) == [b"a photo"] for store in stores for name in names)
    for store in stores:
        store.close()
