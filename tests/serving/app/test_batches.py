"""What waits goes together, what does not waits for nobody, and what fails does so alone."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from visnet.serving.app.batches import Together


class Work:
    """Squares numbers, each call as long as it is held back; refuses negative ones."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_go = threading.Event()
        self.thread = ThreadPoolExecutor(1)

    def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(numbers))
        assert self.may_go.wait(10)
        if min(numbers) < 0:
            raise ValueError(f"{min(numbers)} is negative")
        return [number**2 for number in numbers]


async def asked(work: Work, numbers: Sequence[int], most: int = 16) -> list[int | BaseException]:
    """Ask the first question, and the others once that is under way."""
    together = Together(work, work.thread, most)
    first = asyncio.create_task(together.ask(numbers[0]))
    while not work.calls:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(together.ask(number)) for number in numbers[1:]]
    await asyncio.sleep(0)
    work.may_go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_the_first_waits_for_nobody_and_those_that_came_meanwhile_go_together() -> None:
    work = Work()
    assert asyncio.run(asked(work, [1, 2, 3, 4, 5, 6], most=3)) == [1, 4, 9, 16, 25, 36]
    assert work.calls == [[1], [2, 3, 4], [5, 6]]


def test_one_that_fails_does_so_alone() -> None:
    answers = asyncio.run(asked(Work(), [1, 2, -3, 4]))
    assert [answers[at] for at in (0, 1, 3)] == [1, 4, 16]
    assert isinstance(answers[2], ValueError)
    assert str(answers[2]) == "-3 is negative"


def test_whose_client_has_gone_is_not_worked_for() -> None:
    async def gone(work: Work) -> None:
        together = Together(work, work.thread)
        first = asyncio.create_task(together.ask(1))
        while not work.calls:
            await asyncio.sleep(0.001)
        second, third = (asyncio.create_task(together.ask(number)) for number in (2, 3))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        work.may_go.set()
        assert (await first, await third) == (1, 9)
        with pytest.raises(asyncio.CancelledError):
            await second

    work = Work()
    asyncio.run(gone(work))
    assert work.calls == [[1], [3]]
