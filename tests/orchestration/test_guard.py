"""What a foreign page could have a browser send to Dagster and MLflow, as raw HTTP, and what our own pages send."""

import asyncio
import subprocess
import sys

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from orchestration.ui.guard import Guard
from tests.orchestration.running import UI, Toy, environment

MUTATION = "mutation { setNuxSeen }"
FOREIGN = [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
FOREIGN += [{"Origin": "http://127.0.0.1:1"}, {"Host": "127.0.0.1.evil.example:80"}]


def ask(url: str, method: str = "POST", body: object = None, **headers: str) -> int:
    sent = {"Content-Type": "application/json", **headers}
    content = body if isinstance(body, bytes) else None
    answer = httpx.request(method, url, headers=sent, content=content, json=None if content else body, trust_env=False)
    return answer.status_code


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_or_name_is_refused(ui: UI, headers: dict[str, str]) -> None:
    assert ask(f"{ui.url}/graphql", body={"query": MUTATION}, **headers) == 403
    assert ask(f"{ui.url}/", "GET", **headers) == 403
    created = f"{ui.mlflow_url}/api/2.0/mlflow/experiments/create"
    assert ask(created, body={"name": str(headers)}, **headers) == 403
    assert ask(f"{ui.mlflow_url}/", "GET", **headers) == 403


def test_what_a_browser_sends_without_asking_changes_nothing(ui: UI) -> None:
    query = httpx.QueryParams(query=MUTATION)
    assert ask(f"{ui.url}/graphql?{query}", "GET") == 400
    assert ask(f"{ui.url}/graphql?{query}", "GET", Accept="text/html") == 400
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        sent = {"Content-Type": kind}
        assert ask(f"{ui.url}/graphql?{query}", body=b"{}", **sent) == 400
        assert ask(f"{ui.url}/report_asset_materialization/photos", body=b"{}", **sent) == 400
        assert ask(f"{ui.mlflow_url}/api/2.0/mlflow/experiments/create", body=b'{"name": "a"}', **sent) == 400


def test_our_own_pages_and_programs_are_let_through(ui: UI) -> None:
    local = ui.url.replace("127.0.0.1", "localhost")
    for url in (ui.url, local):
        assert ask(f"{url}/graphql", body={"query": MUTATION}, Origin=url) == 200
        assert ask(f"{url}/runs", "GET") == 200
    created = f"{ui.mlflow_url}/api/2.0/mlflow/experiments/create"
    assert ask(created, body={"name": "ours"}, Origin=ui.mlflow_url) == 200
    assert ask(f"{ui.mlflow_url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=ours", "GET") == 200


def test_websockets_likewise(ui: UI) -> None:
    url = ui.url.replace("http", "ws") + "/graphql"
    asked = [Subprotocol("graphql-ws")]
    with connect(url, origin=ui.url, subprotocols=asked, proxy=None) as socket:  # type: ignore[arg-type]
        socket.send('{"type": "connection_init"}')
        assert "connection_ack" in str(socket.recv(timeout=10))
    for origin in ("http://evil.example", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, origin=origin, subprotocols=asked, proxy=None)  # type: ignore[arg-type]


def test_a_password_and_another_name() -> None:
    page = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"))])
    guarded = Guard(page, hosts=["shop.example"], password="säsam")

    async def get(host: str, password: str | None) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded)) as client:
            auth = httpx.BasicAuth("anyone", password) if password is not None else None
            return (await client.get(f"http://{host}/", auth=auth)).status_code

    asked = [
        ("shop.example:3000", "säsam"),
        ("shop.example", "sesame"),
        ("localhost", None),
        ("other.example", "säsam"),
    ]
    assert [asyncio.run(get(*words)) for words in asked] == [200, 401, 401, 403]


def test_servers_are_not_opened_without_a_password(toy: Toy) -> None:
    command = [sys.executable, "-m", "orchestration.ui", "--host", "0.0.0.0"]
    done = subprocess.run(command, cwd=toy.root, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "error: --host 0.0.0.0 lets others at Dagster and MLflow: set a password in VISNET_UI_PASSWORD"
    )
