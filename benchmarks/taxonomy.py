"""Time the decoding of category paths: all of a taxonomy at once, or by a beam; batched, or one photo after another.

    cd WORKSPACE && python PROJECT/benchmarks/taxonomy.py --photos 256

Run it in a workspace whose stage taxonomy_model has trained the model "attention". The decoder is timed apart from its
trunk, whose maps are ready, and then whole. One photo after the other with a beam of 5 is how Atlas decodes. Ways are
timed in turns, `--repeats` times; a figure is the median.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from visnet.categorizing import decoding
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.categorizer import Categorizer
from visnet.embedding.crop_dataset import CropImages
from visnet.models.inputs import as_floats, stack
from visnet.pipeline.budget import keep_what_is_freed
from visnet.storage.table import Table

BATCH, BEAM = 16, 5


def main() -> None:
    """Print photos per second of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    keep_what_is_freed()  # as when crops are told their paths
    categorizer = Categorizer.load(Path("data/taxonomy_model"), ["attention"])
    network, taxonomy = categorizer.networks["attention"], categorizer.taxonomy
    head = network.head
    assert isinstance(head, AttentionHead)
    crops = Path("data/crops/crops.lance")
    names = sorted(Table(crops).read(["crop_id"], "lost IS NULL")["crop_id"].to_pylist())[: options.photos]
    photos = stack(CropImages(crops, names, categorizer.settings.side_px), range(len(names)))
    with torch.inference_mode():
        maps = torch.cat([network.body.last_map(as_floats(some, channels_last=True)) for some in photos.split(BATCH)])

        def exactly(found: torch.Tensor) -> torch.Tensor:
            return decoding.exact(head, *head.look(found)).argmax(1)

        def by_beam(found: torch.Tensor) -> torch.Tensor:
            return decoding.beam(head, *head.look(found), BEAM)[0][:, 0]

        def whole(some: torch.Tensor) -> torch.Tensor:
            return exactly(network.body.last_map(as_floats(some, channels_last=True)))

        ways: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor, int]] = {
            f"exact, {BATCH} at once": (exactly, maps, BATCH),
            "exact, one at a time": (exactly, maps, 1),
            f"beam of {BEAM}, {BATCH} at once": (by_beam, maps, BATCH),
            f"beam of {BEAM}, one at a time": (by_beam, maps, 1),
            f"trunk and exact, {BATCH} at once": (whole, photos, BATCH),
            "trunk and exact, one at a time": (whole, photos, 1),
        }
        took_s: dict[str, list[float]] = {name: [] for name in ways}
        answers = {}
        for _ in range(options.repeats):
            for name, (way, given, size) in ways.items():
                begun_s = time.perf_counter()
                answers[name] = torch.cat([way(some) for some in given.split(size)])
                took_s[name].append(time.perf_counter() - begun_s)
    print(f"{len(names)} photos, {len(taxonomy.paths)} paths, {torch.get_num_threads()} threads")
    first = next(iter(answers.values()))
    for name, seconds in took_s.items():
        rate = len(names) / statistics.median(seconds)
        print(f"{name:32} {rate:9.0f} photos/s   as the first: {(answers[name] == first).double().mean():.3f}")


if __name__ == "__main__":
    main()
