"""Words and marks drawn on layers of their own, larger than they are shown, so that their edges are smooth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
FINER = 2  # a layer is drawn so many times larger

OFFERS = (
    "SALE", "NEW", "-50%", "-20%", "HOT DEAL", "FREE SHIPPING", "BEST PRICE", "2 FOR 1", "LIMITED OFFER", "TOP",
    "BESTSELLER", "ONLY TODAY", "BLACK FRIDAY", "ANGEBOT", "NEU", "OFERTA", "SOLDES", "EXTRA 30% OFF", "SAVE 15",
    "BUY NOW", "FREE GIFT", "NEW SEASON", "LAST CHANCE", "WOW", "$9.99", "19,95 €", "100% COTTON",
)  # fmt: skip
NOTES = (
    "size chart", "free returns within 30 days", "please read before you order", "shipping takes 3 to 5 days",
    "wash at 30 degrees", "contact us for other sizes", "thank you for your order", "made in Italy", "material: cotton",
    "chest 96 cm", "waist 80 cm", "length 72 cm", "5 stars from our customers", "we are on holiday until June",
    "payment by card or transfer", "about us", "guarantee of two years", "how to measure", "colours may differ",
)  # fmt: skip
ABSENT = (
    "NO IMAGE", "No image available", "IMAGE COMING SOON", "Photo not available", "no photo", "Coming soon",
    "KEIN BILD", "Bild folgt", "Image non disponible", "Sin imagen", "PLACEHOLDER", "not found", "404", "N/A",
)  # fmt: skip
OWNERS = ("SAMPLE", "PREVIEW", "COPYRIGHT", "DO NOT COPY", "PROOF", "shop", "store", "studio", "photo", "images")
_SYLLABLES = ("ba", "ko", "li", "ma", "ne", "ro", "sa", "ti", "vu", "ze", "dor", "fen", "gal", "pri", "sto", "wan")


def word(rng: np.random.Generator) -> str:
    """Make up a word, written small, with a capital or in capitals."""
    made = "".join(rng.choice(_SYLLABLES) for _ in range(int(rng.integers(2, 5))))
    return str(rng.choice([made, made.capitalize(), made.upper()]))


def phrase(rng: np.random.Generator, said: Sequence[str]) -> str:
    """Return one of some phrases, or made-up words, in one of several ways of writing."""
    if rng.random() < 0.4:
        return " ".join(word(rng) for _ in range(int(rng.integers(1, 4))))
    one = str(rng.choice(said))
    return [one, one, one.upper(), one.title()][int(rng.integers(4))]


def colour(rng: np.random.Generator) -> RGB:
    """Draw any colour: strong ones as often as all others."""
    if rng.random() < 0.5:
        levels = rng.choice([0, 30, 200, 255], 3)
    else:
        levels = rng.integers(0, 256, 3)
    return int(levels[0]), int(levels[1]), int(levels[2])


def grey(rng: np.random.Generator, low: int, high: int) -> RGB:
    """Draw a grey, or a colour next to it."""
    level = int(rng.integers(low, high))
    tint = rng.integers(-8, 9, 3) if rng.random() < 0.3 else np.zeros(3, int)
    red, green, blue = np.clip(level + tint, 0, 255).tolist()
    return red, green, blue


def contrasting(to: RGB, rng: np.random.Generator) -> RGB:
    """Draw a colour that is read on another."""
    for _ in range(20):
        one = colour(rng)
        if abs(brightness(one) - brightness(to)) > 90:
            return one
    return (255, 255, 255) if brightness(to) < 128 else (0, 0, 0)


def brightness(of: RGB) -> float:
    """Return how bright a colour is, 0..255 (ITU-R BT.601)."""
    return 0.299 * of[0] + 0.587 * of[1] + 0.114 * of[2]


def text(
    said: str, height_px: float, ink: RGB, *, edge: RGB | None = None, width_px: float | None = None
) -> Image.Image:
    """Draw one line, RGBA, tight: of this height, lower where it would be wider than `width_px`; `edge` outlines."""
    font = ImageFont.load_default(max(8.0, FINER * height_px))
    stroke = max(1, round(FINER * height_px / 14)) if edge else 0
    left, top, right, bottom = font.getbbox(said, stroke_width=stroke)
    size = max(1, int(np.ceil(right - left))), max(1, int(np.ceil(bottom - top)))
    layer = Image.new("RGBA", size, (*ink, 0))
    pen = ImageDraw.Draw(layer)
    pen.text((-left, -top), said, font=font, fill=(*ink, 255), stroke_width=stroke, stroke_fill=edge and (*edge, 255))
    scale = height_px / size[1]
    if width_px is not None:
        scale = min(scale, width_px / size[0])
    return layer.resize((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), Image.Resampling.LANCZOS)


def faded(layer: Image.Image, alpha: float) -> Image.Image:
    """Return a layer of which only a share `alpha` is seen."""
    layer = layer.copy()
    layer.putalpha(layer.getchannel("A").point([round(level * alpha) for level in range(256)]))
    return layer


def turned(layer: Image.Image, degrees: float) -> Image.Image:
    """Turn a layer, which grows to hold its corners."""
    return layer.rotate(degrees, Image.Resampling.BICUBIC, expand=True)


def put(on: Image.Image, layer: Image.Image, middle: tuple[float, float]) -> None:
    """Lay a layer onto a picture, centred at a point that may be near an edge."""
    corner = round(middle[0] - layer.width / 2), round(middle[1] - layer.height / 2)
    on.paste(layer, corner, layer)
