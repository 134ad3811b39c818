"""What tests of serving share."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the service's log speak, whatever logging was set to in this process before."""
    before = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    monkeypatch.setattr(logging.getLogger("visnet.serving"), "disabled", False)
    yield
    logging.disable(before)


@pytest.fixture
def url(s3: Any) -> str:
    """An address in a bucket of an object store that nobody has used."""
    return f"s3://{s3.bucket()}/shop/catalog"
