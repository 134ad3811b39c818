"""The processes of one training on several hosts: what they tell each other beside the tensors, and whether they live.

They speak by the store that torchrun keeps for them. A collective operation alone would tell nobody why another has
ended, and would wait for half an hour for a host that is gone.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from visnet.pipeline.launch import Launch

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

BEAT_S = 1.0  # between two signs of life
SILENT_S = 60.0  # after which a process counts as gone
JOINING_S = 600.0  # after which one does that has not joined yet: a first import over a network share takes minutes
GRACE_S = 15.0  # in which one that has lost another ends by itself
LINGER_S = 5.0  # for others to hear how this one has ended
OPENING_S = 60.0
_POLL_S = 0.2
_INTERRUPTED = "interrupted"
_COLLECTIVE = ("gloo", "NCCL", "c10d", "onnection")  # of an error of a collective operation, or of the store
_SHOWN = 300  # characters of it


class Peers:
    """This process among `ranks` that train together: each tells words, which the first one (0) gathers.

    A thread gives signs of life. Process 0 watches all others, and they watch it: one that is silent, or has ended with
    a reason, is `lost`, and so are all. What then does not end by itself within `GRACE_S`, since it waits in a
    collective operation, is ended by `end`.
    """

    def __init__(
        self,
        rank: int,
        ranks: int,
        store: "Store",
        *,
        silent_s: float = SILENT_S,
        grace_s: float = GRACE_S,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self.rank, self.lost = rank, ""
        self._store, self._silent_s, self._grace_s, self._end = store, silent_s, grace_s, end
        self._others = [other for other in range(ranks) if other != rank] if rank == 0 else [0]
        self._watched = self._others
        self._parent, self._closed = os.getppid(), threading.Event()
        self.tell("host", host=socket.gethostname())
        threading.Thread(target=self._watch, name="peers", daemon=True).start()

    def tell(self, word: str, **content: object) -> None:
        """Say a word to the others, for good."""
        self._store.set(f"{self.rank}/{word}", json.dumps(content))

    def told(self, rank: int, *words: str) -> tuple[str, dict[str, Any]]:
        """Wait until a process has said one of some words; `ValueError` when it has ended with a reason, or is gone."""
        while True:
            for word in (*words, "ended"):
                if self._store.check([f"{rank}/{word}"]):
                    content = json.loads(self._store.get(f"{rank}/{word}"))
                    if why := content.get("why"):
                        raise _end_of(self._because(rank, why))
                    return word, content
            if self.lost:
                raise _end_of(self.lost)
            time.sleep(_POLL_S)

    def agree(self, word: str, content: Mapping[str, object], cure: str) -> None:
        """Go on once all processes have come here with equal content; `ValueError` names what differs."""
        mine = json.loads(json.dumps(content))
        self.tell(word, **mine)
        if self.rank:
            self.told(0, f"{word} agreed")
            return
        for rank in self._others:
            said, theirs = self.told(rank, word)
            differing = [name for name, value in mine.items() if theirs.get(name) != value]
            if said != word or differing:
                raise ValueError(f"{self._named(rank)} has other {', '.join(differing)} than {self._named(0)}; {cure}")
        self.tell(f"{word} agreed")

    def trained(self) -> None:
        """Say that the training is done: from now on process 0 needs no other, and is lost with none."""
        if self.rank == 0:
            self._watched = []

    @contextlib.contextmanager
    def ending(self, explained: Callable[[Exception], str | None] = lambda error: None) -> Iterator[None]:
        """Tell the others how what runs within has ended; a failure that another's end has caused is said to be that.

        explained: gives the line on an error that is said in one.
        On leaving, process 0 waits for a moment until all others know, and one that has failed until process 0 knows.
        """
        why = ""
        try:
            yield
        except KeyboardInterrupt:
            why = _INTERRUPTED
            raise
        except ValueError as error:
            why = str(error)
            raise
        except Exception as error:
            if gone := self._gone(error):
                why = gone
                raise _end_of(gone) from error
            why = explained(error) or f"{type(error).__name__}: {error}"
            raise
        finally:
            self._leave(why)

    def _leave(self, why: str) -> None:
        self._closed.set()
        with contextlib.suppress(Exception):  # a store that is gone: nobody is left to be told
            self.tell("ended", why=why)
            others = self._others if why or self.rank == 0 else []
            until_s = time.monotonic() + LINGER_S
            while others and time.monotonic() < until_s:
                time.sleep(_POLL_S)
                others = [rank for rank in others if not self._store.check([f"{rank}/ended"])]

    def _watch(self) -> None:
        beats: dict[int, tuple[int, float]] = {}
        while not self.lost and not self._closed.wait(BEAT_S):
            try:
                self.lost = self._look(beats)
            except Exception as error:
                if not self._watched:
                    return  # trained: what is left to do needs nobody
                self.lost = f"torchrun's store does not answer: {' '.join(str(error).split())[:_SHOWN]}"
        if self.lost and not self._closed.wait(self._grace_s):
            print(f"visnet: {self.lost}", file=sys.stderr, flush=True)
            self._end(130 if self.lost.endswith(_INTERRUPTED) else 1)

    def _look(self, beats: dict[int, tuple[int, float]]) -> str:
        """Give a sign of life, and look for those of others; return why one of them is lost."""
        self._store.add(f"{self.rank}/beats", 1)
        if self._watched and os.getppid() != self._parent:
            return "torchrun has ended before this process"
        for rank in self._watched:
            if self._store.check([f"{rank}/ended"]):
                if why := json.loads(self._store.get(f"{rank}/ended"))["why"]:
                    return self._because(rank, why)
                continue
            now_s, count = time.monotonic(), self._store.add(f"{rank}/beats", 0)
            before, since_s = beats.get(rank, (-1, now_s))
            beats[rank] = (count, now_s if count != before else since_s)
            allowed_s = self._silent_s if count else JOINING_S
            if now_s - beats[rank][1] > allowed_s:
                return f"{self._named(rank)} has given no sign of life for {allowed_s:.0f} s; run it again"
        return ""

    def _gone(self, error: Exception) -> str:
        """Return one line on an error that tells of another process's end, once that has had time to say why."""
        if not isinstance(error, RuntimeError) or not any(word in str(error) for word in _COLLECTIVE):
            return ""
        self._closed.wait(3 * BEAT_S)
        seen = " ".join(str(error).split())[:_SHOWN]
        return self.lost or f"another process of this training is gone, or out of reach ({seen}); run it again"

    def _because(self, rank: int, why: str) -> str:
        return why if why.startswith("process ") else f"{self._named(rank)}: {why}"

    def _named(self, rank: int) -> str:
        known = self._store.check([f"{rank}/host"])
        where = json.loads(self._store.get(f"{rank}/host"))["host"] if known else "an unknown host"
        return f"process {rank} on {where}"


def _end_of(why: str) -> BaseException:
    """Return what ends a process as another has ended."""
    return KeyboardInterrupt() if why.endswith(_INTERRUPTED) else ValueError(why)


_joined: Peers | None = None


def joined() -> Peers | None:
    """Join the other processes that torchrun has started; None where it has started no other."""
    global _joined
    launch = Launch.found()
    if _joined is None and launch is not None and launch.ranks > 1:
        from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

        store, rank, ranks = next(rendezvous("env://", timeout=timedelta(seconds=OPENING_S)))
        _joined = Peers(rank, ranks, PrefixStore("visnet", store))
    return _joined
