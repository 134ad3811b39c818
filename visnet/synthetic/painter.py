"""Paint photos in processes of their own, asked and answered through pipes.

Pipes rather than a process pool: a child needs nothing of the parent's main module, a slow reader slows the painters
down instead of filling memory, and when the parent dies, even of SIGKILL, the next answer finds a closed pipe and the
child ends.
"""

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from visnet.synthetic.assortment import Recipe
from visnet.synthetic.photos import paint

_LENGTH = struct.Struct("<I")


def painted(recipe: Recipe, photo_ids: Sequence[str], processes: int) -> Iterator[bytes]:
    """Yield the photos' bytes in the order of their ids, painted by that many processes; 0 = in this one.

    Errors: `RuntimeError` when a painter ended before its work was done.
    """
    if processes == 0:
        yield from (paint(recipe, name) for name in photo_ids)
        return
    children = [_started(recipe, photo_ids[i::processes]) for i in range(processes)]
    try:
        for i in range(len(photo_ids)):
            yield _answer(children[i % processes])
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _started(recipe: Recipe, photo_ids: Sequence[str]) -> "subprocess.Popen[bytes]":
    root = str(Path(__file__).parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    child = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert child.stdin
    child.stdin.write(json.dumps({"recipe": asdict(recipe), "photo_ids": list(photo_ids)}).encode())
    child.stdin.close()  # the child reads all of it before it paints, so neither waits for the other
    child.stdin = None
    return child


def _answer(child: "subprocess.Popen[bytes]") -> bytes:
    assert child.stdout
    head = child.stdout.read(_LENGTH.size)
    data = child.stdout.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if not data:
        raise RuntimeError(
            f"a painter of the synthetic shop ended early, with exit status {child.wait()}; its words stand above"
        )
    return data


def main() -> None:
    """Answer one request: JSON on stdin, then length and bytes of each photo on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends its painters
    request = json.load(sys.stdin)
    recipe = Recipe(**request["recipe"])
    try:
        for name in request["photo_ids"]:
            data = paint(recipe, name)
            sys.stdout.buffer.write(_LENGTH.pack(len(data)) + data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more; an orderly exit would try to flush and complain
