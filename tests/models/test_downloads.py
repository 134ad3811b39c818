"""Weights from a hub: fetched once over HTTP, and a line that says what to do where none answers."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 64
FILE = "/timm/own.in1k/resolve/main/model.safetensors"


class Hub(BaseHTTPRequestHandler):
    """A hub with one repository, of one file."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(CONTENT)

    def answer(self, body: bytes) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(200 if self.path == FILE else 404)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        self.send_header("Content-Length", str(len(CONTENT) if self.path == FILE else 0))
        self.end_headers()
        self.wfile.write(body if self.path == FILE else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Serve it; gives its address and what was asked of it."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Hub,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def downloaded(published: str, home: Path, endpoint: str) -> str:
    """Download in a process of its own, as the hub's client reads its settings once; returns what it prints."""
    code = (
        "import sys; from visnet.models.downloads import downloaded\n"
        "try: print(downloaded(sys.argv[1]))\n"
        "except ValueError as error: print('refused:', error)"
    )
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint}
    ran = subprocess.run(
        [sys.executable, "-c", code, published], check=True, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    return ran.stdout.strip()


def test_weights_are_fetched_from_the_hub_once(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    endpoint, asked = hub
    said = downloaded("hf-hub:timm/own.in1k/model.safetensors", tmp_path, endpoint)
    path = Path(said)
    assert path.is_relative_to(tmp_path), said
    assert path.read_bytes() == CONTENT
    assert f"GET {FILE}" in asked
    asked.clear()
    assert downloaded("hf-hub:timm/own.in1k/model.safetensors", tmp_path, endpoint) == str(path)
    assert asked == []


def test_where_no_hub_answers_a_line_says_what_to_bring(tmp_path: Path) -> None:
    began = time.monotonic()
    said = downloaded("hf-hub:timm/own.in1k/model.safetensors", tmp_path, "http://127.0.0.1:9")  # nobody listens there
    assert time.monotonic() - began < 20, "its client alone tries for half a minute"
    assert said.startswith(
        "refused: model.safetensors of timm/own.in1k on the Hugging Face hub could not be downloaded ("
    )
    assert "refused" in said.partition("(")[2]
    assert said.endswith("bring that file here and name its path as weights")
    assert "\n" not in said


def test_what_a_hub_does_not_have_is_said(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    said = downloaded("hf-hub:timm/none.in1k/model.safetensors", tmp_path, hub[0])
    assert said.startswith(
        "refused: model.safetensors of timm/none.in1k on the Hugging Face hub could not be downloaded ("
    )
    assert "404" in said
    assert "\n" not in said
