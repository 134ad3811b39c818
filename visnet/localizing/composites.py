"""Photos made with known boxes: products cut out of their shop photos, pasted into street photos of other products."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from visnet.localizing.boxed_photos import Boxed
from visnet.localizing.plain_background import cutout
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

CUTOUTS_MAX = 2000  # of the shop photos, kept in memory
_SIDES = (0.35, 0.85)  # of the street photo's longer side, once pasted
_TURN_DEG = 30.0
_HIDDEN_MAX = 0.5  # of a box that stands there: one that is hidden more is no longer found
_ALPHA_MIN = 32


class Cutout(NamedTuple):
    """A product without its background: RGBA, cut to what is seen of it."""

    product_id: str
    picture: Image.Image


def cutouts(crops: Path) -> list[Cutout]:
    """Cut the products out of shop photos of the training split; a product of which any photo is tested on is left out.

    Of more than `CUTOUTS_MAX` photos some are chosen, by a hash of their id.
    """
    table = Table(crops / "crops.lance")
    tested = set(table.read(["product_id"], "split = 'test'")["product_id"].to_pylist())
    rows = table.read(["crop_id", "product_id"], "side = 'shop' AND split = 'train' AND lost IS NULL").to_pylist()
    rows = [row for row in rows if row["product_id"] not in tested]
    rows = sorted(rows, key=lambda row: fingerprint(row["crop_id"]))[:CUTOUTS_MAX]
    wanted = {row["crop_id"]: row["product_id"] for row in rows}
    listed = ", ".join("'" + crop_id.replace("'", "''") + "'" for crop_id in wanted)
    images = table.read(["crop_id", "image"], f"crop_id IN ({listed})") if wanted else None
    found = {}
    for crop_id, data in zip(images["crop_id"].to_pylist(), images["image"], strict=True) if images else ():
        piece = cutout(Image.open(io.BytesIO(data.as_py())))
        if piece is not None:
            found[crop_id] = Cutout(wanted[crop_id], piece)
    return [found[crop_id] for crop_id in wanted if crop_id in found]


def composite(photo: Boxed, piece: Image.Image, rng: np.random.Generator) -> Boxed:
    """Paste a cutout into a photo, mirrored, scaled, turned and placed by chance; its box is tight, and comes first.

    Boxes that were there stay, unless the pasted one hides more than half of them. No pixel outside of it changes.
    """
    frame = photo.frame
    size = rng.uniform(*_SIDES) * max(frame.width, frame.height) / max(piece.size)
    sides = [max(8, round(side * size)) for side in piece.size]
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    piece = piece.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
    piece = piece.rotate(rng.uniform(-_TURN_DEG, _TURN_DEG), Image.Resampling.BILINEAR, expand=True)
    alpha = piece.getchannel("A").point([0] * _ALPHA_MIN + list(range(_ALPHA_MIN, 256)))
    seen = alpha.getbbox()
    if seen is None:  # a thread that resampling has lost
        return photo
    piece, alpha = piece.crop(seen), alpha.crop(seen)
    free = frame.width - piece.width, frame.height - piece.height
    left, top = (
        start + math.floor(rng.uniform(min(0, f), max(0, f)))
        for start, f in ((frame.left, free[0]), (frame.top, free[1]))
    )
    whole = Image.fromarray(photo.pixels.permute(1, 2, 0).numpy())
    inner = whole.crop((frame.left, frame.top, frame.left + frame.width, frame.top + frame.height))
    inner.paste(piece, (left - frame.left, top - frame.top), alpha)
    whole.paste(inner, (frame.left, frame.top))
    box = torch.tensor([left, top, left + piece.width, top + piece.height], dtype=torch.float32)
    box = torch.cat([torch.maximum(box[:2], frame.whole[:2]), torch.minimum(box[2:], frame.whole[2:])])
    stay = [row for row in photo.boxes if _hidden(row, box) <= _HIDDEN_MAX]
    pixels = torch.from_numpy(np.array(whole)).permute(2, 0, 1).contiguous()
    return Boxed(pixels, torch.stack([box, *stay]), frame)


def _hidden(box: Tensor, by: Tensor) -> float:
    """Return which share of a box another covers."""
    sides = (torch.minimum(box[2:], by[2:]) - torch.maximum(box[:2], by[:2])).clamp_min(0.0)
    return float(sides.prod() / (box[2:] - box[:2]).prod())


def of_others(pieces: Sequence[Cutout], products: frozenset[str]) -> list[int]:
    """List the cutouts that are of none of these products."""
    return [at for at, piece in enumerate(pieces) if piece.product_id not in products]
