"""Good photos in many forms, so that what is learnt is a fault, and not how its pictures were made."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from visnet.localizing.plain_background import cutout, product_mask
from visnet.quality import lettering

SMALL = (0.3, 0.6)  # of the photo's sides, that a product with a wide margin has


def hard(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Make a good photo that looks like a faulty one: printed products, plain ones, small ones, a nearer view.

    What cannot be done to a photo without a plain background is left: it is then the photo, coarser or nearer.
    """
    kind = rng.random()
    if kind < 0.4:
        return printed(photo, rng) or coarse(photo, rng)
    if kind < 0.6:
        return small(photo, rng) or coarse(photo, rng)
    if kind < 0.75:
        return plain(photo, rng) or nearer(photo, rng)
    return coarse(photo, rng) if kind < 0.88 else nearer(photo, rng)


def printed(photo: Image.Image, rng: np.random.Generator) -> Image.Image | None:
    """Print words or a label onto the product, and nowhere else; None where it is not known where that is."""
    mask = product_mask(photo)
    if mask is None:
        return None
    left, top, right, bottom = Image.fromarray(mask).getbbox() or (0, 0, *photo.size)
    wide, high = (right - left) * rng.uniform(0.3, 0.65), (bottom - top) * rng.uniform(0.07, 0.18)
    layer = Image.new("RGBA", photo.size)
    x, y = left + (right - left) * rng.uniform(0.4, 0.6), top + (bottom - top) * rng.uniform(0.3, 0.7)
    pixels = np.asarray(photo)[mask]
    red, green, blue = pixels.mean(0).astype(int).tolist()
    under = (red, green, blue)
    if rng.random() < 0.4:  # a label of its own colour
        under = lettering.colour(rng)
        lettering.put(layer, Image.new("RGBA", (round(wide * 1.15), round(high * 2.6)), (*under, 255)), (x, y))
    ink = lettering.contrasting(under, rng)
    for line in range(int(rng.integers(1, 3))):
        said = lettering.text(lettering.word(rng), high / (1 + line), ink, width_px=wide)
        lettering.put(layer, said, (x, y + line * high))
    layer = layer.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, center=(x, y))
    alpha = np.asarray(layer.getchannel("A"), np.float32) * mask * rng.uniform(0.75, 1.0)
    made = photo.copy()
    made.paste(layer, (0, 0), Image.fromarray(alpha.astype(np.uint8)))
    return made


def small(photo: Image.Image, rng: np.random.Generator) -> Image.Image | None:
    """Show the product small, with a wide margin; None where the background is not plain."""
    piece = cutout(photo)
    if piece is None:
        return None
    pixels = np.asarray(photo)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0).astype(int).tolist()
    page = Image.new("RGB", photo.size, (red, green, blue))
    scale = min(page.width / piece.width, page.height / piece.height) * rng.uniform(*SMALL)
    piece = piece.resize(
        (max(2, round(piece.width * scale)), max(2, round(piece.height * scale))), Image.Resampling.LANCZOS
    )
    lettering.put(page, piece, (page.width * rng.uniform(0.4, 0.6), page.height * rng.uniform(0.4, 0.6)))
    return page


def plain(photo: Image.Image, rng: np.random.Generator) -> Image.Image | None:
    """Take the pattern off the product, whose folds and shadows stay faintly; None where it cannot be cut out."""
    mask = product_mask(photo)
    if mask is None:
        return None
    pixels = np.asarray(photo, np.float32)
    light = np.asarray(photo.convert("L").filter(ImageFilter.GaussianBlur(max(photo.size) / 60)), np.float32)
    folds = (light - light[mask].mean())[..., None] * rng.uniform(0.15, 0.5)
    flat = np.array(lettering.colour(rng), np.float32) + folds
    sharp = (np.asarray(photo.convert("L"), np.float32) - light)[..., None] * rng.uniform(0.1, 0.5)
    made = np.where(mask[..., None], flat + sharp, pixels)
    return Image.fromarray(np.clip(made, 0, 255).round().astype(np.uint8))


def coarse(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Enlarge a photo from one a little smaller: softer than it was, and still good."""
    share = rng.uniform(0.55, 0.9)
    size = max(4, round(photo.width * share)), max(4, round(photo.height * share))
    return photo.resize(size, Image.Resampling.LANCZOS).resize(photo.size, Image.Resampling.BICUBIC)


def nearer(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Leave out up to a fifth of a photo at its edges: most of the product is still seen."""
    share = rng.uniform(0.8, 0.97)
    wide, high = photo.width * share, photo.height * share
    left, top = (photo.width - wide) * rng.random(), (photo.height - high) * rng.random()
    return photo.resize(photo.size, Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))


def varied(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change what tells nothing, of good and of faulty photos alike: light, colours, and how it was saved."""
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.4:
            photo = kind(photo).enhance(rng.uniform(0.8, 1.2))
    if rng.random() < 0.25:
        return photo
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=int(rng.integers(45, 96)), subsampling=int(rng.choice([0, 2])))
    return Image.open(file).convert("RGB")
