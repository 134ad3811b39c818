"""What a shop's photos become when they are taken over: copies by one change each, and the thing in another colour."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Photo = Image.Image
Made = Callable[[Photo, np.random.Generator], Photo]


def _cut(share: float) -> Made:
    def cut(photo: Photo, rng: np.random.Generator) -> Photo:
        width, height = int(photo.width * share), int(photo.height * share)
        left, top = int(rng.integers(photo.width - width + 1)), int(rng.integers(photo.height - height + 1))
        return photo.crop((left, top, left + width, top + height))

    return cut


def _resized(photo: Photo, rng: np.random.Generator) -> Photo:
    scale = rng.uniform(0.4, 0.8)
    return photo.resize((max(32, int(photo.width * scale)), max(32, int(photo.height * scale))))


def _squashed(photo: Photo, rng: np.random.Generator) -> Photo:
    return photo.resize((min(photo.size), min(photo.size)))


def _exposed(photo: Photo, rng: np.random.Generator) -> Photo:
    brighter = ImageEnhance.Brightness(photo).enhance(rng.choice([rng.uniform(0.7, 0.9), rng.uniform(1.1, 1.3)]))
    return ImageEnhance.Contrast(brighter).enhance(rng.uniform(0.75, 1.3))


def _turned(photo: Photo, rng: np.random.Generator) -> Photo:
    degrees = rng.choice([-1, 1]) * rng.uniform(2, 7)
    return photo.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=photo.getpixel((0, 0)))


def _saved(photo: Photo, rng: np.random.Generator) -> Photo:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=int(rng.integers(15, 41)))
    return Image.open(file).convert("RGB")


def _watermarked(photo: Photo, rng: np.random.Generator) -> Photo:
    layer = Image.new("RGBA", photo.size, (0, 0, 0, 0))
    size = max(8, photo.width // 6)
    shade = (255, 255, 255, 110) if rng.random() < 0.5 else (60, 60, 60, 100)
    for line, y in enumerate(range(-size, photo.height, 2 * size)):
        place = (line % 2 * size - size, y)
        ImageDraw.Draw(layer).text(place, "SHOP.example " * 3, font=ImageFont.load_default(size=size), fill=shade)
    return Image.alpha_composite(photo.convert("RGBA"), layer.rotate(20)).convert("RGB")


def _written_over(photo: Photo, rng: np.random.Generator) -> Photo:
    photo = photo.copy()
    draw = ImageDraw.Draw(photo)
    high = photo.height // int(rng.integers(5, 8))
    top = int(rng.choice([0, photo.height - high]))
    draw.rectangle((0, top, photo.width, top + high), fill=str(rng.choice(["#c00", "#fff", "#222", "#fc0"])))
    font = ImageFont.load_default(size=max(6, int(high * 0.6)))
    draw.text((6, top + 2), "SALE -50% only today", font=font, fill=str(rng.choice(["#fff", "#000"])))
    if rng.random() < 0.5:
        size = photo.width // 5
        right, middle = photo.width - 4, photo.height // 2
        draw.ellipse((right - size, middle, right, middle + size), fill="#e33")
    return photo


def collage(photo: Photo, others: list[Photo], rng: np.random.Generator) -> Photo:
    """Put a photo beside another, among three others, or onto a larger ground."""
    width, height = photo.size
    kind = int(rng.integers(3))
    if kind == 2:
        page = Image.new("RGB", (int(width * rng.uniform(1.2, 1.7)), int(height * rng.uniform(1.2, 1.7))), "#eee")
        page.paste(photo, (int(rng.integers(page.width - width + 1)), int(rng.integers(page.height - height + 1))))
        return page
    count = 4 if kind else 2
    tiles = [photo, *(ImageOps.fit(other, photo.size) for other in others[: count - 1])]
    page = Image.new("RGB", (2 * width + 8, (count // 2) * (height + 8) - 8), "white")
    for at, tile in enumerate(rng.permutation(count)):
        page.paste(tiles[tile], (at % 2 * (width + 8), at // 2 * (height + 8)))
    return page


# The five of imagededup's own benchmark first: it cuts 640 x 480 px to 560 x 420, and squashes to a square.
FIVE: dict[str, Made] = {
    "cut to 7/8": _cut(7 / 8),
    "mirrored": lambda photo, rng: ImageOps.mirror(photo),
    "upside down": lambda photo, rng: ImageOps.flip(photo),
    "turned by 25°": lambda photo, rng: photo.rotate(25, Image.Resampling.BICUBIC),
    "squashed": _squashed,
}
MADE: dict[str, Made] = FIVE | {
    "resized": _resized,
    "other exposure": _exposed,
    "cut to 3/4": _cut(3 / 4),
    "turned by 2-7°": _turned,
    "JPEG 15-40": _saved,
    "watermark": _watermarked,
    "text over it": _written_over,
}


def recoloured(photo: Photo, rng: np.random.Generator) -> Photo:
    """Give what stands out from the photo's edge, in its middle, another hue."""
    pixels, hsv = np.asarray(photo).astype(int), np.array(photo.convert("HSV")).astype(int)
    edge = np.concatenate([part.reshape(-1, 3) for part in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:])])
    y, x = np.mgrid[: photo.height, : photo.width]
    middle = (x / photo.width - 0.5) ** 2 + (y / photo.height - 0.5) ** 2 < 0.16
    stands_out = np.abs(pixels - np.median(edge, axis=0)).max(axis=-1) > 28
    thing = middle & stands_out if stands_out.mean() < 0.9 else middle
    shift = int(rng.choice([-1, 1]) * rng.integers(40, 111))
    hsv[..., 0] = np.where(thing, (hsv[..., 0] + shift) % 256, hsv[..., 0])
    hsv[..., 1] = np.where(thing, np.maximum(hsv[..., 1], 90), hsv[..., 1])
    return Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")
