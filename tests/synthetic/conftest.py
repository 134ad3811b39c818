"""The listing of the small synthetic shop."""

import pytest

from tests.synthetic.small import NOWHERE, SMALL
from visnet.sources import synthetic


@pytest.fixture(scope="module")
def shop() -> synthetic.Listing:
    return synthetic.listing(SMALL, NOWHERE)
