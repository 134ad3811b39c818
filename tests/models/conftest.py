"""One thread for networks this small."""

import pytest


@pytest.fixture(autouse=True)
def small(one_thread: None) -> None:
    """Have every test of this folder use one thread."""
