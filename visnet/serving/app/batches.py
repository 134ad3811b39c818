"""Requests that wait go through a function together; none waits for company, and each fails alone."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")


@dataclass(eq=False)
class _Waiting(Generic[Asked, Given]):
    asked: Asked
    answer: "asyncio.Future[Given]"


class Together(Generic[Asked, Given]):
    """Puts what is asked at about the same time through one call of a function, in a thread of its own.

    While a call runs, others come and wait; the next call takes them all, up to `most`. When a call fails, each of its
    questions is asked alone, so that only the one that is to blame fails.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Sequence[Given]],
        thread: Executor,
        most: int = 16,
        seen: Callable[[int], object] = lambda size: None,
    ) -> None:
        """Take a function from questions to as many answers; `seen` is told how many went together."""
        self._run, self._thread, self._most, self._seen = run, thread, most, seen
        self._waiting: list[_Waiting[Asked, Given]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Given:
        """Return the answer to one question, or raise what the function raised of it."""
        loop = asyncio.get_running_loop()
        one: _Waiting[Asked, Given] = _Waiting(asked, loop.create_future())
        self._waiting.append(one)
        if self._working is None:
            self._working = loop.create_task(self._work())
        return await one.answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                some = [one for one in some if not one.answer.done()]  # whose client has gone
                if some:
                    await self._answer(some)
        finally:
            self._working = None

    async def _answer(self, some: Sequence[_Waiting[Asked, Given]]) -> None:
        loop = asyncio.get_running_loop()
        self._seen(len(some))
        try:
            found = await loop.run_in_executor(self._thread, self._run, [one.asked for one in some])
        except Exception as error:
            if len(some) > 1:
                for one in some:
                    await self._answer([one])
                return
            with contextlib.suppress(asyncio.InvalidStateError):
                some[0].answer.set_exception(error)
            return
        for one, given in zip(some, found, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):
                one.answer.set_result(given)
