"""Fixtures that several tests of training share."""

from collections.abc import Iterator

import pytest
import torch

from tests.training.toy import Diary, train
from visnet.training import Fitted


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give back the threads that `toy.train` has taken from torch."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Diary]:
    """A training that nothing has stopped; it stays as it is."""
    log = Diary()
    return train(tmp_path_factory.mktemp("undisturbed"), log), log
