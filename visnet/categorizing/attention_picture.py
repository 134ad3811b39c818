"""Where a model looks for each level of its answer: the photo, and beside it a panel for each level."""

import numpy as np
import torch
from PIL import Image

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.categorizer import Categorizer
from visnet.embedding.crop_dataset import square
from visnet.models.inputs import as_floats
from visnet.sheets.contact_sheet import RIGHT, WRONG, Thumbnail
from visnet.taxonomy.paths import levels_of

PANEL_PX = 224
MANY_PX = 168  # of a panel among many
DARKEST = 0.2  # of the light that is left where a model does not look


def panels(categorizer: Categorizer, picture: Image.Image, answer: PathAnswer, name: str = "") -> list[Thumbnail]:
    """Return a row of a contact sheet: the picture, and for each level of the likeliest path where was looked.

    By the network that was chosen: a decoder's attention, or what speaks for a classifier's paths.

    Levels that are told have a green frame, the others a red one.
    """
    taxonomy = categorizer.taxonomy
    path = taxonomy.path_numbers[answer.path]
    nodes = [node for node in taxonomy.ancestors[path] if node >= 0]
    network = categorizer.networks[categorizer.settings.chosen]
    place = next(network.parameters()).device  # where it has answered
    beneath = [torch.tensor(np.flatnonzero((taxonomy.ancestors == node).any(1)), device=place) for node in nodes]
    photo = as_floats(square(picture, categorizer.settings.side_px)[None].to(place))
    with torch.inference_mode():
        looks = network.looks(photo, path, beneath).cpu().numpy()
    shown = picture.convert("RGB").resize((PANEL_PX, PANEL_PX), Image.Resampling.BILINEAR)
    names = zip(levels_of(answer.path), answer.level_probabilities, looks, strict=True)
    return [
        Thumbnail(shown, name),
        *(
            Thumbnail(_lit(shown, look), f"{probability:.0%} {level}", RIGHT if number < answer.told else WRONG)
            for number, (level, probability, look) in enumerate(names)
        ),
    ]


def _lit(picture: Image.Image, look: np.ndarray) -> Image.Image:
    """Darken a picture where was not looked."""
    light = Image.fromarray((look / max(float(look.max()), 1e-12)).astype(np.float32), "F")
    share = np.asarray(light.resize(picture.size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    pixels = np.asarray(picture, np.float32) * (DARKEST + (1.0 - DARKEST) * share)[:, :, None]
    return Image.fromarray(pixels.round().astype(np.uint8))
