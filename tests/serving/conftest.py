"""What tests of serving share."""

import logging
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the service's log speak, whoever has set logging up in this process before: MLflow silences others."""
    monkeypatch.setattr(logging.getLogger("visnet.serving"), "disabled", False)


@pytest.fixture
def url(s3: Any) -> str:
    """An address in a bucket of an object store that nobody has used."""
    return f"s3://{s3.bucket()}/shop/catalog"
