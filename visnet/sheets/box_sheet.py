"""A contact sheet of photos with the boxes that were proposed, and those that are true."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from visnet.photos.codec import fit
from visnet.photos.cutting import Box
from visnet.sheets.contact_sheet import OPENED_PX, RIGHT, WRONG, Thumbnail, sheet

PROPOSED, TRUE = "#00e050", "white"


def boxed(picture: Image.Image, truths: Sequence[Box], proposed: Box | None, caption: str, right: bool) -> Thumbnail:
    """Draw true boxes in white, a proposed one in green, each left, top, width, height in pixels of the picture."""
    small = fit(picture, OPENED_PX).convert("RGB")
    scale = small.width / picture.width
    pen = ImageDraw.Draw(small)
    thick = max(2, round(max(small.size) / 100))
    for box, colour in [*((truth, TRUE) for truth in truths), *([(proposed, PROPOSED)] if proposed else [])]:
        left, top = box[0] * scale, box[1] * scale
        pen.rectangle((left, top, left + box[2] * scale, top + box[3] * scale), outline=colour, width=thick)
    return Thumbnail(small, caption, RIGHT if right else WRONG)


def boxes(tiles: Sequence[Thumbnail], title: str, across: int = 10) -> Image.Image:
    """Lay the photos out in rows."""
    rows = [tiles[first : first + across] for first in range(0, len(tiles), across)]
    return sheet(rows, title, side_px=144)
