"""A contact sheet of photos that seem to mislead, the most suspicious of each fault, beside planted ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from visnet.sheets.contact_sheet import PLAIN, RIGHT, WRONG, Thumbnail, open_images, sheet

SUSPICIOUS, PLANTED = 8, 5
FRAMES = {"bad": WRONG, "good": RIGHT}


def quality(crops: Path, rows: pd.DataFrame, planted: Mapping[str, Sequence[tuple[Image.Image, float]]]) -> Image.Image:
    """Show, fault by fault, the shop's photos with the highest scores, framed by verdict, and planted test cases.

    rows: of the table of verdicts, with a column of scores for each fault. planted: fault -> pictures and their scores.
    """
    tops = {fault: rows.sort_values([fault, "crop_id"], ascending=[False, True]).head(SUSPICIOUS) for fault in planted}
    found = open_images(crops, [crop for own in tops.values() for crop in own["crop_id"]])
    lines = []
    for fault, own in tops.items():
        tiles = [
            Thumbnail(found[crop], f"{fault} {score:.3f}", FRAMES.get(verdict))
            for crop, score, verdict in zip(own["crop_id"], own[fault], own["verdict"], strict=True)
        ]
        blanks = [Thumbnail(Image.new("RGB", (8, 8), PLAIN), "")] * (SUSPICIOUS - len(tiles))
        shown = [Thumbnail(picture, f"planted {score:.3f}") for picture, score in planted[fault][:PLANTED]]
        lines.append([*tiles, *blanks, *shown])
    counts = rows["verdict"].value_counts()
    title = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("bad", "unsure", "good"))
    return sheet(lines, f"The shop's photos with the highest score of each fault ({title}); at the right planted ones")
