"""The server that has the photos of a feed."""

from typing import Any

import pytest

from tests.image_server import ImageServer
from tests.sources.changefeed.shop import jpeg


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ImageServer(jpeg(1)) as server:
        server.marks = ("ETag",)
        yield server
