"""Fetch photos on the nodes of a Ray cluster, which together ask the web for no more at once than one process would."""

import contextlib
import os
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from visnet.engines.cluster import Cluster
from visnet.engines.streams import Made, streamed
from visnet.photos.photo_table import Fetch
from visnet.photos.web.download import Answer
from visnet.photos.web.options import FetchOptions, dealt
from visnet.photos.web.proxies import Unusable
from visnet.photos.web.request import Validators

LEAST = 32  # photos that a process is started for


@dataclass(frozen=True)
class Fetching:
    """What fetches the photos of one process; it works in the folder of whoever started all, if the node has it.

    seen: a file that must be seen there, "" of none.
    """

    fetch: Fetch
    locators: Mapping[str, str]
    known: Mapping[str, Validators] | None
    folder: str
    seen: str

    def __call__(self, photo_ids: Sequence[str]) -> Iterator[Made]:
        """Yield the answers for some of the photos, and the `Unusable` that ended them."""
        with contextlib.suppress(OSError):
            os.chdir(self.folder)
        if self.seen and not os.path.exists(self.seen):
            raise ValueError(
                f"engine = 'ray': the node {socket.gethostname()} does not see {self.seen}; photos that are files must "
                "be on a file system that all nodes share, under the same path, or be read with engine = 'local'"
            )
        asked = {} if self.known is None else {"known": {p: self.known[p] for p in photo_ids if p in self.known}}
        try:
            for answer in self.fetch([(photo_id, self.locators[photo_id]) for photo_id in photo_ids], **asked):
                yield Made(answer.photo_id, answer, len(answer.data or b""))
        except Unusable as error:
            yield Made("", error, 0)


def fetch_on(
    nodes: Cluster,
    fetch_by: Callable[[FetchOptions], Fetch],
    options: FetchOptions,
    wanted: Sequence[tuple[str, str]],
    known: Mapping[str, Validators] | None = None,
) -> Generator[Answer]:
    """Yield what `fetch_by(options)` yields, which is fetched by processes that each have a part of the limits.

    The cluster must be connected. fetch_by: returns what travels by pickle. A host has its photos asked by one process,
    if it is not most of them; a process that was lost has what it had not given asked again by another. Errors are
    those of one process, and `ValueError` when no node has a CPU, or one does not see the files.
    """
    shares = []
    for photos, portion in dealt(wanted, options, min(nodes.fit(1), -(-len(wanted) // LEAST))):
        own = dict(photos)
        validators = None if known is None else {p: known[p] for p in own if p in known}
        seen = next((at for at in own.values() if at.startswith("/") and os.path.exists(at)), "")
        shares.append((Fetching(fetch_by(portion), own, validators, os.getcwd(), seen), list(own)))
    unusable = []
    with contextlib.closing(streamed(shares)) as answers:
        for answer in answers:
            if isinstance(answer, Unusable):
                unusable.append(answer)  # the others go on with what does not need it
            else:
                yield answer
    if unusable:
        raise unusable[0]
