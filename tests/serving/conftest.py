"""What tests of serving share."""

from typing import Any

import pytest


@pytest.fixture
def url(s3: Any) -> str:
    """An address in a bucket of an object store that nobody has used."""
    return f"s3://{s3.bucket()}/shop/catalog"
