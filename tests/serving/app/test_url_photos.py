"""A photo by its address: only where it is allowed, only from the public web, and never more than is wanted."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpcore
import httpx
import pytest

from tests.image_server import ImageServer
from tests.serving.app.running import photo_of, search, served
from tests.serving.app.test_refusals import problem
from visnet.serving.app import remote

FAULTS = (
    "gone",
    "html",
    "slow",
    "dribble",
    "huge",
    "said_large",
    "gzip_bomb",
    "circle",
    "elsewhere",
    "short",
    "bad_head",
)


@pytest.fixture(scope="module")
def web(place: Path) -> Iterator[ImageServer]:
    with ImageServer(photo_of(place, "p003-0-1"), {name: name for name in FAULTS}) as server:
        yield server


@pytest.fixture(scope="module")
def following(place: Path) -> Iterator[httpx.Client]:
    """A service that may ask this machine by the name localhost, and by no other."""
    patched = pytest.MonkeyPatch()
    patched.setattr(remote, "WAIT_S", 2.0)
    patched.setattr(remote, "WHOLE_S", 3.0)
    with served(place / "data", url_photos=True, url_hosts=("localhost",), body_bytes=1_000_000) as client:
        yield client
    patched.undo()


def named(web: ImageServer, path: str = "photo.png") -> str:
    return f"http://localhost:{web.server_address[1]}/{path}"


def test_it_is_off_unless_it_is_allowed(client: httpx.Client, following: httpx.Client, web: ImageServer) -> None:
    hits = web.hits.total()
    assert "--allow-url-photos" in problem(search(client, url=named(web)), 403)
    assert web.hits.total() == hits
    allowed = [one.get("/v1/catalog").json()["url_photos"] for one in (client, following)]
    assert allowed == [False, True]


def test_a_photo_of_an_address_is_searched_for_as_if_it_was_sent(
    following: httpx.Client, web: ImageServer, place: Path
) -> None:
    sent, linked = search(following, photo_of(place, "p003-0-1")).json(), search(following, url=named(web)).json()
    assert linked["results"] == sent["results"]
    assert following.get(linked["photo"]["url"]).content == following.get(sent["photo"]["url"]).content
    for photos, more in (([], {"query_id": linked["query_id"]}), ([b"x"], {})):
        assert "wanted is either" in problem(search(following, *photos, url=named(web), **more), 400)


TRICKS = [
    "http://127.0.0.1:{port}/x",
    "http://2130706433:{port}/x",
    "http://0x7f.1:{port}/x",
    "http://[::1]:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
    "http://[64:ff9b::7f00:1]:{port}/x",
    "http://0.0.0.0:{port}/x",
    "http://localtest.example:{port}/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.example/computeMetadata/v1/",
    "http://10.0.0.1/x",
    "http://192.168.1.1/x",
    "http://no-such-host.example/x",
    "http://public.example:22/x",
    "http://user:secret@127.0.0.1:{port}/x",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have names lead where an attacker's would."""
    known = {"localtest.example": "127.0.0.1", "metadata.example": "169.254.169.254", "public.example": "93.184.215.14"}

    async def looked_up(host: str, port: int) -> list[str]:
        if host in known:
            return [known[host]]
        if host == "no-such-host.example":
            try:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            except socket.gaierror as error:
                raise httpcore.ConnectError(str(error)) from error
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(place[0]) for *_, place in found]

    monkeypatch.setattr("visnet.photos.web.network.resolve", looked_up)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("trick", TRICKS)
def test_what_only_this_machine_can_reach_is_not_asked_and_not_told_apart(
    following: httpx.Client, web: ImageServer, trick: str
) -> None:
    hits = web.hits.total()
    url = trick.format(port=web.server_address[1])
    answer = search(following, url=url)
    assert problem(answer, 403) == remote.NOT_PUBLIC
    assert web.hits.total() == hits


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("trick", TRICKS)
def test_a_redirect_is_judged_as_if_it_was_given(following: httpx.Client, web: ImageServer, trick: str) -> None:
    web.locations["elsewhere"] = trick.format(port=web.server_address[1])
    hits = web.hits["x"]
    assert problem(search(following, url=named(web, "elsewhere")), 403) == remote.NOT_PUBLIC
    assert web.hits["x"] == hits


REFUSED: dict[str, tuple[int, str]] = {
    "gone": (422, "url: no photo came: http 404"),
    "html": (415, "photo: not an image"),
    "slow": (504, "url: the photo did not come within 3 s"),
    "dribble": (504, "url: the photo did not come within 3 s"),
    "huge": (413, "may have 1,000,000 bytes together"),
    "said_large": (413, "may have 1,000,000 bytes together"),
    "gzip_bomb": (413, "may have 1,000,000 bytes together"),
    "circle": (422, "url: no photo came: too many redirects"),
    "short": (422, "url: no photo came: incomplete body"),
    "bad_head": (422, "url: no photo came: malformed answer"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_come_well_is_refused_in_time(following: httpx.Client, web: ImageServer, fault: str) -> None:
    status, why = REFUSED[fault]
    answer = search(following, url=named(web, fault))
    assert answer.elapsed.total_seconds() < 20  # not the 30 s of the slow ones
    detail = problem(answer, status)
    assert why in detail
    assert "no longer available" not in detail, "nothing of a foreign answer is told"
    assert web.sent < 50_000_000


def test_when_too_many_wait_for_other_servers_one_is_asked_to_come_again_and_other_searches_go_on(
    following: httpx.Client, web: ImageServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(remote.MOST + 1):  # one after the other: none stays counted, whatever became of it
        problem(search(following, url=named(web, "gone")), 422)
    monkeypatch.setattr(remote, "MOST", 0)
    answer = search(following, url=named(web))
    assert "as many as are allowed" in problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert search(following, photo_of(place, "p003-0-1")).status_code == 200


@pytest.mark.parametrize(
    "url",
    ["photo.jpg", "http://0177.0.0.1/", "file:///etc/passwd", "ftp://a/b", "gopher://a", "http://", "http://a b/"],
)
def test_what_is_no_address_of_the_web_is_refused(following: httpx.Client, url: str) -> None:
    assert "the http or https address of a photo" in problem(search(following, url=url), 422)
