"""Time the decoding of category paths: as Atlas does, one photo and one word at a time, and as it is done here.

    cd WORKSPACE && python PROJECT/benchmarks/taxonomy.py --photos 128 --out PROJECT/benchmarks/results/taxonomy.md

Run it in a workspace whose stage taxonomy_model has trained the model "attention". Every way has the same weights. The
decoders are timed apart from their trunk, whose maps are ready, and then with it. Ways are timed in turns, `--repeats`
times; a figure is the median.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from taxonomy_atlas import AtlasDecoder
from torch import Tensor

from visnet.categorizing import decoding
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.categorizer import Categorizer
from visnet.embedding.crop_dataset import CropImages
from visnet.models.inputs import as_floats, stack
from visnet.pipeline.budget import keep_what_is_freed
from visnet.storage import atomic
from visnet.storage.table import Table

BATCH, BEAM = 16, 5
MANY = 64  # maps of a batch where the trunk is not run
DRAWN_OUT = 14  # cells a side, as Atlas draws its maps out to

Decode = Callable[[Tensor], Tensor]


class Way(NamedTuple):
    """How maps [B, C, h, w] become paths [B], from how many photos at once, and whether the trunk is run as well."""

    decode: Decode
    size: int
    whole: bool = False


def ways(head: AttentionHead) -> dict[str, Way]:
    """Return what is compared; the first is Atlas' and what the others are held against."""

    def exactly(maps: Tensor) -> Tensor:
        return decoding.exact(head, *head.look(maps)).argmax(1)

    def by_beam(maps: Tensor) -> Tensor:
        return decoding.beam(head, *head.look(maps), BEAM)[0][:, 0]

    drawn_out, as_found = AtlasDecoder(head, BEAM, DRAWN_OUT), AtlasDecoder(head, BEAM, None)
    return {
        f"as Atlas: one at a time, a beam of {BEAM}, {DRAWN_OUT}² cells": Way(drawn_out, 1),
        "the same over the map's own cells": Way(as_found, 1),
        f"a beam of {BEAM}, one at a time": Way(by_beam, 1),
        "all paths, one at a time": Way(exactly, 1),
        f"a beam of {BEAM}, {BATCH} at once": Way(by_beam, BATCH),
        f"all paths, {BATCH} at once": Way(exactly, BATCH),
        f"a beam of {BEAM}, {MANY} at once": Way(by_beam, MANY),
        f"all paths, {MANY} at once": Way(exactly, MANY),
        "trunk, and as Atlas": Way(drawn_out, 1, whole=True),
        f"trunk, and all paths, {BATCH} at once": Way(exactly, BATCH, whole=True),
    }


def main() -> None:
    """Print photos per second of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the table there, too")
    options = parser.parse_args()
    keep_what_is_freed()  # as when crops are told their paths
    categorizer = Categorizer.load(Path("data/taxonomy_model"), ["attention"])
    network = categorizer.networks["attention"]
    assert isinstance(network.head, AttentionHead)
    crops = Path("data/crops/crops.lance")
    names = sorted(Table(crops).read(["crop_id"], "lost IS NULL")["crop_id"].to_pylist())
    names = names[:: max(1, len(names) // options.photos)][: options.photos]  # of all categories
    photos = stack(CropImages(crops, names, categorizer.settings.side_px), range(len(names)))

    def seen(some: Tensor) -> Tensor:
        return network.body.last_map(as_floats(some, channels_last=True))

    with torch.inference_mode():
        maps = torch.cat([seen(some) for some in photos.split(BATCH)])
        compared = ways(network.head)
        took_s: dict[str, list[float]] = {name: [] for name in compared}
        answers = {}
        for _ in range(options.repeats):
            for name, way in compared.items():
                begun_s = time.perf_counter()
                given = (seen(some) for some in photos.split(way.size)) if way.whole else iter(maps.split(way.size))
                answers[name] = torch.cat([way.decode(some) for some in given])
                took_s[name].append(time.perf_counter() - begun_s)
    rates = {name: len(names) / statistics.median(seconds) for name, seconds in took_s.items()}
    text = _table(compared, rates, answers)
    text = f"{_where(len(names), len(categorizer.taxonomy.paths), maps)}\n\n{text}"
    print(text)
    if options.out:
        atomic.put_text(options.out, f"# Decoding category paths\n\n{text}\n")


def _table(compared: dict[str, Way], rates: dict[str, float], answers: dict[str, Tensor]) -> str:
    """Hold each way against Atlas' with or without the trunk, as it is itself."""
    lines = ["| decoded | paths/s | against Atlas' way | answers as Atlas' way |", "|---|---|---|---|"]
    first = {way.whole: name for name, way in reversed(compared.items())}
    for name, way in compared.items():
        atlas = first[way.whole]
        same = (answers[name] == answers[atlas]).double().mean().item()
        lines.append(f"| {name} | {rates[name]:,.0f} | {rates[name] / rates[atlas]:.1f} | {same:.3f} |")
    return "\n".join(lines)


def _where(photos: int, paths: int, maps: Tensor) -> str:
    channels, *sides = maps.shape[1:]
    return (
        f"{photos} photos, {paths} paths, maps of {channels} channels and {sides[0]} x {sides[1]} cells, float32, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}."
    )


if __name__ == "__main__":
    main()
