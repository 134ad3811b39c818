"""The review page: what it shows is what was sampled, and what is marked stands in the file at once."""

import contextlib
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from visnet import review, tables
from visnet.review.server import app
from visnet.review.shown import CLAIMS, choose, evenly
from visnet.sampling import biss, importance, metadata, street2shop

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PRODUCTS = ["a", "b", "c", "d"]
KINDS = ["product/in", "product/out", "colour/in"]
RED = (0xD7, 0x30, 0x27)


def crop(product: str, photo: int) -> str:
    """Name a crop as the line does, with what is special in an address."""
    return f"{product}&{photo}#|{product}/é|0"


TRIPLETS = [  # query, positive, negative, kind; the last one twice
    *[(crop("a", 0), crop("a", i), crop("b", j), "product/in") for i in (1, 2) for j in (0, 1, 2)],
    *[(crop("b", 0), crop("b", i), crop("c", i), "product/out") for i in (1, 2)],
    (crop("b", 0), crop("b", 2), crop("c", 2), "product/out"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "data"
    rows = []
    for number, product in enumerate(PRODUCTS):
        for photo in range(3):
            file = io.BytesIO()
            Image.new("RGB", (48, 32), (60 * number, 80 * photo, 200)).save(file, "JPEG")
            side = "shop" if photo else "street"
            rows.append((crop(product, photo), product, "hat", "", side, "train", file.getvalue(), "", ""))
    names = ["crop_id", "product_id", "category", "colour", "side", "split", "image", "source", "content"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    tables.put(folder / "crops" / "crops.lance", "crop_id", pa.table(columns))
    (folder / "triplets").mkdir()
    for split, chosen in {"train": TRIPLETS, "test": []}.items():
        q, p, n, kind = zip(*chosen, strict=True) if chosen else ([], [], [], [])
        kinds = pa.DictionaryArray.from_arrays(pa.array([KINDS.index(k) for k in kind], pa.int8()), pa.array(KINDS))
        ids = [pa.array(list(column), pa.string()).dictionary_encode() for column in (q, p, n)]
        pq.write_table(pa.table([*ids, kinds], names=["q", "p", "n", "kind"]), folder / "triplets" / f"{split}.parquet")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exclusions.csv"


@contextlib.contextmanager
def served(data: Path, path: Path) -> Iterator[str]:
    """Serve the page from a thread; give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app(choose(data, "train", 100), path, "127.0.0.1"), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],), name="review")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def client(data: Path, path: Path) -> Iterator[httpx.Client]:
    with served(data, path) as url, httpx.Client(base_url=url) as client:
        yield client


def mark(client: httpx.Client, what: str, a: str, b: str = "", on: object = True) -> httpx.Response:
    return client.post("/marks", json={"what": what, "a": a, "b": b, "on": on})


def test_the_page_shows_each_kind_in_turn_with_the_tables_own_photos(client: httpx.Client, data: Path) -> None:
    about = client.get("/triplets").json()
    assert (about["split"], about["total"]) == ("train", 9)
    assert [tuple(one) for one in about["triplets"]] == TRIPLETS[:8]
    assert about["crops"][crop("b", 1)] == {
        "product_id": "b", "category": "hat", "colour": "", "side": "shop", "split": "train",
    }  # fmt: skip
    kept = tables.read(data / "crops" / "crops.lance", ["crop_id", "image"]).to_pylist()
    shown = {one["crop_id"]: one["image"] for one in kept if one["crop_id"] in about["crops"]}
    assert len(shown) == 8
    for name, image in shown.items():
        assert client.get("/photo", params={"crop": name}).content == image
    for name in (crop("d", 0), "", "../../exclusions.csv"):  # d is a crop, but not on this page
        assert client.get("/photo", params={"crop": name}).status_code == 404


def test_the_page_is_whole_and_asks_no_other_server(client: httpx.Client) -> None:
    for address in ("/", "/page.css", "/page.js"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "//" not in answer.text.replace("// ", "")
    assert client.get("/server.py").status_code == 404


def test_a_mark_is_in_the_file_when_it_is_answered_and_can_be_taken_back(client: httpx.Client, path: Path) -> None:
    assert client.get("/marks").json() == []
    assert not path.exists()
    q, p, n, _ = TRIPLETS[0]
    mark(client, "positive", p, q)
    answer = mark(client, "photo", n)
    assert answer.json() == [["photo", n, ""], ["positive", q, p]]
    assert path.read_text() == f"what,a,b\nphoto,{n},\npositive,{q},{p}\n"
    path.write_text(f"what,a,b\nphoto,{n},\npositive,{q},{p}\nphoto,by hand,\n")  # an edit meanwhile is kept
    mark(client, "photo", n, on=False)
    assert path.read_text() == f"what,a,b\nphoto,by hand,\npositive,{q},{p}\n"


def test_marks_that_come_at_once_are_all_kept(client: httpx.Client, path: Path) -> None:
    wanted = [("positive", q, p) for q, p, _, _ in TRIPLETS] + [("negative", q, n) for q, _, n, _ in TRIPLETS]
    with ThreadPoolExecutor(8) as pool:
        assert all(answer.status_code == 200 for answer in pool.map(lambda row: mark(client, *row), wanted))
    assert len(path.read_text().splitlines()) == 1 + len(set(wanted)) == 10


Q, P, N, _ = TRIPLETS[0]
REFUSED = {
    "unknown sort": (400, {}, {"what": "query", "a": Q, "b": "", "on": True}),
    "pair that is no triplet's": (400, {}, {"what": "positive", "a": Q, "b": N, "on": True}),
    "crop that is not shown": (400, {}, {"what": "photo", "a": crop("d", 0), "b": "", "on": True}),
    "neither on nor off": (400, {}, {"what": "photo", "a": Q, "b": "", "on": "yes"}),
    "missing field": (400, {}, {"what": "photo", "a": Q}),
    "no object": (400, {}, ["photo", Q]),
    "number for an id": (400, {}, {"what": "photo", "a": 7, "b": "", "on": True}),
    "other origin": (403, {"origin": "http://example.org"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "no origin to name": (403, {"origin": "null"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "other host": (400, {"host": "example.org"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "a form's type": (415, {"content-type": "text/plain"}, {"what": "photo", "a": Q, "b": "", "on": True}),
}


def test_marks_that_the_page_cannot_make_are_refused(client: httpx.Client, path: Path) -> None:
    for case, (status, headers, body) in REFUSED.items():
        answer = client.post("/marks", content=json.dumps(body), headers={"content-type": "application/json"} | headers)
        assert answer.status_code == status, case
    assert client.post("/marks", content=b"\xff{", headers={"content-type": "application/json"}).status_code == 400
    assert not path.exists()


def test_a_file_that_cannot_be_read_is_not_written_over(client: httpx.Client, path: Path) -> None:
    path.write_text("what,a,b\nphotos,x,\n")
    for answer in (client.get("/marks"), mark(client, "photo", Q)):
        assert answer.status_code == 409
        assert "exclusions.csv: line 2: what is 'photos'; allowed are" in answer.text
    assert path.read_text() == "what,a,b\nphotos,x,\n"


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 30), max_size=5), st.integers(0, 60))
def test_kinds_share_the_count_evenly(there: dict[str, int], count: int) -> None:
    got = evenly(there, count)
    assert sum(got.values()) == min(count, sum(there.values()))
    most = max(got.values(), default=0)
    assert all(got[kind] == n or got[kind] >= most - 1 for kind, n in there.items())


def test_every_kind_says_what_it_claims() -> None:
    assert set(CLAIMS) == {*metadata.KINDS, *street2shop.KINDS, *biss.KINDS, *importance.KINDS}


def test_what_is_not_there_is_named_with_what_to_do(data: Path, tmp_path: Path) -> None:
    for folder, split, count, said in (
        (data, "dev", 5, "--split 'dev'; allowed are train, validation, test"),
        (data, "train", 0, "--count 0: at least 1"),
        (data, "validation", 5, "validation.parquet is missing: run `dvc repro triplets`"),
        (data, "test", 5, "test.parquet holds no triplet"),
        (tmp_path, "train", 5, "train.parquet is missing"),
    ):
        with pytest.raises(ValueError, match=said.replace("(", r"\(")):
            choose(folder, split, count)
    shutil.copytree(data, tmp_path / "data")
    tables.delete(tmp_path / "data" / "crops" / "crops.lance", "crop_id", [crop("b", 1)])
    with pytest.raises(ValueError, match=r"^1 crops of the triplets are not in .*: run `dvc repro`"):
        choose(tmp_path / "data", "train", 100)


def test_the_contact_sheet_shows_the_same_triplets_with_the_marks_framed(data: Path, path: Path) -> None:
    out = path.with_name("sheet.png")
    assert review.write(out, "train", 100, data=data, path=path) == f"8 of 9 train triplets: {out}"
    plain = Image.open(out).convert("RGB")
    assert RED not in {colour for _, colour in plain.getcolors(1 << 20)}
    path.write_text(f"what,a,b\nnegative,{TRIPLETS[6][2]},{TRIPLETS[6][0]}\n")
    review.write(out, "train", 100, data=data, path=path)
    framed = Image.open(out).convert("RGB")
    assert framed.size == plain.size
    red = [count for count, colour in framed.getcolors(1 << 20) if colour == RED]
    assert red == [4 * 3 * (96 - 3)]  # one frame, 3 px wide around a tile of 96
    with pytest.raises(ValueError, match=r"--write sheet.txt: no picture's name"):
        review.write(Path("sheet.txt"), data=data, path=path)


def test_a_busy_port_is_named_in_one_line(data: Path, path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"^--port {port} is in use; name another one, or 0 for any$"):
            review.serve(port=port, data=data, path=path)
    with pytest.raises(ValueError, match=r"^--port 70000 cannot be had"):
        review.serve(port=70000, data=data, path=path)


def test_ctrl_c_stops_it_cleanly(data: Path, path: Path) -> None:
    code = f"from pathlib import Path; from visnet import review; review.serve(port=0, data=Path({str(data)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        assert httpx.get(url).status_code == 200
        process.send_signal(signal.SIGINT)
        said, trouble = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.endswith("Stopped.\n")
    assert not trouble


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_person_judges_by_keyboard_and_mouse(data: Path, path: Path) -> None:
    from playwright.sync_api import Page, expect, sync_playwright

    def rows() -> list[str]:
        return path.read_text().splitlines()[1:]

    def saved(page: Page, act: Callable[[], None]) -> None:  # a mark is shown at once, and is in the file when answered
        with page.expect_response(lambda answer: answer.request.method == "POST" and answer.ok):
            act()

    def at(page: Page, said: str, judged: int, marked: int) -> None:
        expect(page.locator("h2")).to_have_text(said)
        expect(page.locator("#counted")).to_have_text(f"{judged} of 8 judged · {marked} marked")

    with served(data, path) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_context(viewport={"width": 900, "height": 700})
        page, errors = tab.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        at(page, "1 / 8 product/in", 0, 0)
        assert page.locator("#positive img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
        page.keyboard.press("3")
        expect(page.locator("#negative .photo.wrong")).to_have_text("in truth alike")
        page.keyboard.press("Space")
        at(page, "2 / 8 product/in", 2, 2)  # the same pair stands in the fourth
        saved(page, page.locator("#positive .photo").click)  # the same pair stands in three triplets
        at(page, "2 / 8 product/in", 4, 4)
        assert rows() == [f"negative,{Q},{N}", f"positive,{Q},{P}"]

        other = tab.new_page()  # a second tab goes on where this one stands, and takes nothing from it
        other.goto(url)
        at(other, "5 / 8 product/in", 4, 4)
        other.keyboard.press("Shift+Digit2")
        expect(other.locator("#positive .photo.wrong")).to_have_text("unusable photo")
        expect(other.locator("#todo")).to_contain_text("3 rows")
        expect(page.locator("#todo")).to_contain_text("3 rows")  # and the first tab hears of it
        at(page, "2 / 8 product/in", 6, 6)
        page.bring_to_front()
        saved(page, lambda: page.keyboard.press("2"))
        expect(page.locator("#positive .wrong")).to_have_count(0)
        page.wait_for_function("document.querySelector('#todo').textContent.startsWith('2 rows')")
        assert rows() == [f"negative,{Q},{N}", f"photo,{crop('a', 2)},"]
        saved(page, lambda: page.keyboard.press("u"))
        expect(page.locator("#todo")).to_contain_text("3 rows")
        assert f"positive,{Q},{P}" in rows()

        page.get_by_role("button", name="product/out").click()
        at(page, "7 / 8 product/out", 6, 6)
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        at(page, "8 / 8 product/out", 8, 6)
        expect(page.locator("#todo")).to_contain_text("All are judged. 3 rows in")
        page.reload()
        at(page, "1 / 8 product/in", 8, 6)
        assert not errors
        browser.close()
