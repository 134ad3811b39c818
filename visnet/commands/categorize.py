"""Tell the category paths of photos, by the model that was trained last."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.attention_picture import MANY_PX, PANEL_PX, panels
from visnet.categorizing.files import TODAY
from visnet.categorizing.teller import Teller
from visnet.errors import NotFound
from visnet.photos import codec
from visnet.pipeline.reports import DATA
from visnet.sheets import contact_sheet
from visnet.taxonomy.paths import levels_of

MODEL = DATA / "taxonomy_model"


def run(photos: Sequence[Path], explain: Path | None) -> str:
    """Return a line for each photo: its path as far as the model is sure, and how sure it is of each level.

    explain: where the picture goes that shows where the model looked. `ValueError` for what is no photo, and where no
    model was trained.
    """
    if explain is not None:
        contact_sheet.check_name("--explain", explain)
    pictures = [_read(photo) for photo in photos]
    teller = Teller.load(MODEL, DATA / "category_paths" / TODAY)
    squares = [teller.square(picture) for picture in pictures]
    answers = teller.categorize(squares)
    lines = [f"{photo}: {told(answer)}" for photo, answer in zip(photos, answers, strict=True)]
    lines.append(f"Taxonomy   {teller.tree.version}, {len(teller.tree.paths)} paths")
    if explain is not None:
        model = teller.categorizer  # it looks for the levels that it has learnt
        rows = [
            panels(model, picture, answer, photo.name)
            for photo, picture, answer in zip(photos, pictures, model.categorize(squares), strict=True)
        ]
        contact_sheet.sheet(
            rows, "Where the model looked for each level", PANEL_PX if len(rows) == 1 else MANY_PX
        ).save(explain)
        lines.append(f"Pictures: {explain}")
    return "\n".join(lines)


def told(answer: PathAnswer) -> str:
    """Word an answer: its levels with how probable each is, and what it is unsure of."""
    named = zip(levels_of(answer.path), answer.level_probabilities, strict=True)
    levels = [f"{level} {probability:.1%}" for level, probability in named]
    sure, perhaps = " > ".join(levels[: answer.told]) or "unsure", " > ".join(levels[answer.told :])
    return f"{sure} (perhaps {perhaps})" if perhaps else sure


def _read(photo: Path) -> Image.Image:
    if not photo.is_file():
        raise NotFound(f"{photo}: {'is a folder; name photos in it' if photo.is_dir() else 'no such photo'}")
    try:
        return codec.decode(photo.read_bytes())
    except ValueError as error:
        raise ValueError(f"{photo}: {error}") from None
