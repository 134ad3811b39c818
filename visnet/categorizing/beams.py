"""What a decoder of paths says by its beams, beside the exact answer."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from visnet.categorizing import decoding
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.categorizer import BATCH
from visnet.categorizing.network import PathNetwork
from visnet.models.inputs import as_floats, photo_loader
from visnet.pipeline.log import SILENT, Log

BEAM, FREE = "attention_beam", "attention_free_beam"


def beams(network: PathNetwork, images: Dataset[Tensor], k: int, log: Log = SILENT) -> dict[str, list[str]]:
    """Return the texts that a network's decoder says of photos, uint8 [3, S, S], by a beam of `k`, where it is.

    `BEAM` keeps to the taxonomy, `FREE` to nothing: what it says may be no path.
    """
    head = network.head
    if not isinstance(head, AttentionHead):
        raise TypeError(f"a decoder of words is wanted, not {type(head).__name__}")
    said: dict[str, list[str]] = {BEAM: [], FREE: []}
    count = len(images)  # type: ignore[arg-type]
    place = next(network.parameters()).device
    with torch.inference_mode(), log.progress("beams", count, unit="photo") as progress:
        for rows, photos in photo_loader(images, range(count), batch=BATCH):
            seen = head.look(network.body.last_map(as_floats(photos.to(place), channels_last=True)))
            paths, _ = decoding.beam(head, *seen, k)
            said[BEAM] += [head.vocabulary.paths[best] for best in paths[:, 0].tolist()]
            said[FREE] += decoding.free_beam(head, *seen, k)
            progress.advance(len(rows))
    return said
