"""A photo to serve, and what every test of the web wants."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.photos.web.fetching import assert_no_thread_left


@pytest.fixture(scope="module")
def photo() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def no_proxy_and_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    assert_no_thread_left()
