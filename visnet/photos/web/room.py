"""Room for bytes, shared by all that is under way: what does not fit waits, in the order of its coming."""

import asyncio
import collections


class Room:
    """So many bytes in all. It belongs to one event loop; only that loop's thread may call."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.waiting: collections.deque[tuple[int, asyncio.Future[None]]] = collections.deque()

    def take_now(self, count: int) -> bool:
        """Take bytes if they are free and nobody waits for any."""
        count = min(count, self.size)
        if self.waiting or count > self.free:
            return False
        self.free -= count
        return True

    async def take(self, count: int) -> None:
        """Take bytes, as soon as they are free and those who came before have theirs."""
        if self.take_now(count):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((min(count, self.size), turn))
        try:
            await turn
        except asyncio.CancelledError:
            self.give(count if turn.done() and not turn.cancelled() else 0)
            raise

    def give(self, count: int) -> None:
        """Give bytes back."""
        self.free += min(count, self.size)
        while self.waiting and (self.waiting[0][1].done() or self.waiting[0][0] <= self.free):
            wanted, turn = self.waiting.popleft()
            if not turn.done():  # else its waiter has gone
                self.free -= wanted
                turn.set_result(None)


class Held:
    """What one photo holds of the room; it takes all that it may need at once, so that no two wait for each other."""

    def __init__(self, room: Room) -> None:
        self.room, self.count = room, 0

    def take_now(self, count: int) -> bool:
        """Hold so many bytes, if they are free."""
        self.keep(0)
        if self.room.take_now(count):
            self.count = min(count, self.room.size)
            return True
        return False

    async def take(self, count: int) -> None:
        """Hold so many bytes, once they are free."""
        self.keep(0)
        await self.room.take(count)
        self.count = min(count, self.room.size)

    def keep(self, count: int) -> None:
        """Hold only so many of them from now on."""
        count = min(count, self.count)
        self.room.give(self.count - count)
        self.count = count
