"""Where a model looks for each level of its answer: the photo, and beside it a panel for each level."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.choices import Head
from visnet.embedding.crop_dataset import square
from visnet.models.inputs import as_floats
from visnet.sheets.contact_sheet import RIGHT, WRONG, Thumbnail
from visnet.taxonomy.paths import levels_of

PANEL_PX = 224
DARKEST = 0.2  # of the light that is left where a model does not look


def panels(
    categorizer: Categorizer, head: Head, picture: Image.Image, answer: PathAnswer, name: str = ""
) -> list[Thumbnail]:
    """Return a row of a contact sheet: the picture, and for each level of the likeliest path where `head` looked.

    Levels that are told have a green frame, the others a red one.
    """
    taxonomy = categorizer.taxonomy
    path = taxonomy.path_numbers[answer.path]
    nodes = [node for node in taxonomy.ancestors[path] if node >= 0]
    beneath = [torch.tensor(np.flatnonzero((taxonomy.ancestors == node).any(1))) for node in nodes]
    photo = as_floats(square(picture, categorizer.settings.side_px)[None])
    with torch.inference_mode():
        looks = categorizer.networks[head].looks(photo, path, beneath).numpy()
    shown = picture.convert("RGB").resize((PANEL_PX, PANEL_PX), Image.Resampling.BILINEAR)
    told = len(levels_of(answer.answer)) if answer.answer else 0
    names = zip(levels_of(answer.path), answer.level_probabilities, looks, strict=True)
    return [
        Thumbnail(shown, name),
        *(
            Thumbnail(_lit(shown, look), f"{probability:.0%} {level}", RIGHT if number < told else WRONG)
            for number, (level, probability, look) in enumerate(names)
        ),
    ]


def _lit(picture: Image.Image, look: np.ndarray) -> Image.Image:
    """Darken a picture where was not looked."""
    light = Image.fromarray((look / max(float(look.max()), 1e-12)).astype(np.float32), "F")
    share = np.asarray(light.resize(picture.size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    pixels = np.asarray(picture, np.float32) * (DARKEST + (1.0 - DARKEST) * share)[:, :, None]
    return Image.fromarray(pixels.round().astype(np.uint8))


def wide(rows: Sequence[Sequence[Thumbnail]]) -> int:
    """Return how many pixels a tile has when so many rows are laid out: fewer, smaller ones where there are many."""
    return 168 if len(rows) > 1 else PANEL_PX
