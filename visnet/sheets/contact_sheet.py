"""Contact sheets: rows of captioned photos, to be judged by eye."""

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from visnet.photos.codec import fit
from visnet.storage.table import Table

OPENED_PX = 512  # a sheet's pictures are held all at once, and shown smaller than this
RIGHT, WRONG, PLAIN = "#1a9850", "#d73027", "#d9d9d9"


CAPTION_SIGNS = 200  # of which a tile has room for a tenth


@dataclass(frozen=True)
class Thumbnail:
    """One photo of a sheet; `frame` is a colour, None draws a hairline."""

    image: Image.Image
    caption: str = ""
    frame: str | None = None


def check_name(option: str, out: Path) -> None:
    """Raise `ValueError` in one line, before any work, where no picture can be written to `out`."""
    if out.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"{option} {out}: no picture's name; allowed are .png, .jpg and others that Pillow writes")
    if out.is_dir():
        raise ValueError(f"{option} {out}: is a folder; name a file in it")
    if not out.parent.is_dir():
        raise ValueError(f"{option} {out}: there is no folder {out.parent}; create it, or name another")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise ValueError(f"{option} {out}: may not be written; choose another place, or change its rights (chmod)")


def sheet(rows: Sequence[Sequence[Thumbnail]], title: str = "", side_px: int = 96, columns: int = 1) -> Image.Image:
    """Lay rows of tiles out under a title, `columns` rows beside each other; return an RGB image."""
    title = _one_line(title)
    font, large = ImageFont.load_default(size=11), ImageFont.load_default(size=14)
    gap, text_px, head_px = 8, 15, 26 if title else 0
    width_px = max((len(row) for row in rows), default=1) * (side_px + gap) + 3 * gap
    height_px = side_px + text_px + gap
    deep = -(-len(rows) // columns)
    whole_px = max(columns * width_px, math.ceil(large.getlength(title)) + 2 * gap)
    page = Image.new("RGB", (whole_px, head_px + deep * height_px + gap), "white")
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((gap, 6), title, fill="black", font=large)
    for i, row in enumerate(rows):
        left, top = (i // deep) * width_px + gap, head_px + (i % deep) * height_px
        for tile in row:
            _draw_tile(page, draw, tile, (left, top), side_px, font)
            left += side_px + gap
    return page


def _draw_tile(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Thumbnail,
    corner: tuple[int, int],
    side_px: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, top = corner
    inner = side_px - 6
    small = ImageOps.contain(tile.image.convert("RGB"), (inner, inner))
    page.paste(small, (left + 3 + (inner - small.width) // 2, top + 3 + (inner - small.height) // 2))
    draw.rectangle(
        (left, top, left + side_px - 1, top + side_px - 1), outline=tile.frame or PLAIN, width=3 if tile.frame else 1
    )
    caption = _one_line(tile.caption)
    caption = _fitting(caption, lambda text: draw.textlength(text, font=font) <= side_px)
    draw.text((left, top + side_px + 1), caption, fill="#333333", font=font)


def _fitting(caption: str, fits: Callable[[str], bool]) -> str:
    """Shorten a caption at its beginning, as the names of photos and the figures after them differ at their ends."""
    if fits(caption):
        return caption
    return next((short for at in range(1, len(caption)) if fits(short := f"…{caption[at:]}")), "")


def _one_line(text: str) -> str:
    """Return what can be drawn of any text: one line of printable signs, and no longer than a sheet shows."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:CAPTION_SIGNS])


def open_images(path: Path, crop_ids: Sequence[str]) -> dict[str, Image.Image]:
    """Return the pictures of some crops by their id."""
    listed = ", ".join("'" + crop.replace("'", "''") + "'" for crop in sorted(set(crop_ids)))
    found = Table(path).read(["crop_id", "image"], f"crop_id IN ({listed})" if listed else "false")
    pictures = zip(found["crop_id"].to_pylist(), found["image"], strict=True)
    return {crop: _opened(path, crop, data.as_py()) for crop, data in pictures if data.is_valid}


def _opened(path: Path, crop_id: str, data: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path}: crop {crop_id!r} does not decode: {error}") from error
    return fit(picture, OPENED_PX)
