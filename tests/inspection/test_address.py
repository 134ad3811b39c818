"""A table at an address: brought whole or not at all, its photos below the address's folder."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspection.shops import put, put_table
from visnet.inspection.look import looked

ROWS = [f"A{number} {('hat', 'bag')[number % 2]} photos/{number}.jpg" for number in range(8)]


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("cut.csv"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"sku,kind,file\n")
            self.close_connection = True
        elif path.endswith("export"):
            self.send_response(200)
            self.send_header("Content-Type", "text/csv; charset=utf-8")
            self.end_headers()
            self.wfile.write(Path(self.directory, "stock.csv").read_bytes())
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server of a shop: its address."""
    root = tmp_path_factory.mktemp("site")
    put(root / "shop" / "photos", *(f"{number}.jpg" for number in range(8)))
    put_table(root / "shop" / "stock.csv", "sku kind file", ROWS)
    put_table(root / "stock.csv", "sku kind file", ROWS)
    (root / "page.csv").write_text("<!doctype html><title>Not here</title>")
    (root / "page.html").write_text("<html></html>")
    (root / "batch.jsonl").write_text("{}\n")
    (root / "bad.csv").write_text("sku\n1\n")
    (root / "photo.bin").write_bytes(b"\0\1\2")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_table_is_brought_and_its_paths_start_at_its_folders_address(site: str, tmp_path: Path) -> None:
    with looked(f"{site}/shop/stock.csv?token=secret", tmp_path) as (found, file):
        assert file is not None
        assert file.name == "stock.csv"
        assert found.target == f"{site}/shop/stock.csv"
        assert found.own == {
            "images": f"{site}/shop",
            "columns": {"product": "sku", "category": "kind", "path": "file"},
        }
        assert found.counts is not None
        assert (found.counts.photos, found.counts.remote) == (8, 8)
    assert not file.exists()


def test_a_table_without_an_ending_is_told_by_what_the_server_says_it_is(site: str, tmp_path: Path) -> None:
    with looked(f"{site}/export?as=csv", tmp_path) as (_, file):
        assert file is not None
        assert file.name == "export.csv"


def test_records_are_a_feed_whose_folder_is_asked_for_more(site: str, tmp_path: Path) -> None:
    with looked(f"{site}/batch.jsonl", tmp_path) as (found, file):
        assert (found.source, file, found.counts) == ("feed", None, None)
        assert found.own == {"from": site, "pattern": "*.jsonl*", "photos": site}
    with looked("s3://shop/feed/", tmp_path) as (found, _):
        assert found.own == {"from": "s3://shop/feed", "pattern": "*", "photos": ""}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone.csv", "gone.csv: answers http 404"),
        ("gone.jsonl", "gone.jsonl: answers http 404"),
        ("page.csv", "page.csv: a page, and no table"),
        ("page.html", "page.html: a page, and no table"),
        ("photo.bin", "photo.bin: a table is wanted, one of .csv, "),
        ("cut.csv", "cut.csv: cannot be brought: "),
        ("bad.csv", "/bad.csv: no column says where a photo is"),
    ],
)
def test_what_is_no_table_is_said_of_the_address_in_a_line(site: str, path: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught, looked(f"{site}/{path}", tmp_path):  # noqa: PT011 - compared below
        pass
    assert said in str(caught.value)
    assert str(caught.value).startswith(site)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_and_an_address_with_a_password(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"^http://127\.0\.0\.1:9/a\.csv: cannot be brought: "),
        looked("http://127.0.0.1:9/a.csv", tmp_path),
    ):
        pass
    with (
        pytest.raises(ValueError, match="a user and password in an address"),
        looked("http://a:b@x.org/a.csv", tmp_path),
    ):
        pass
