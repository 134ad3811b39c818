"""Paint the shop's photos: what the studio takes of a product, and what people take of it in the street."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from visnet.synthetic import backdrop, wearer
from visnet.synthetic.assortment import SHARES, Recipe, random_look
from visnet.synthetic.garments import CATEGORIES
from visnet.synthetic.palette import SKIN, any_colour
from visnet.synthetic.raster import Picture, drawn
from visnet.synthetic.scenes import Box, Scene, scene, two
from visnet.synthetic.seeds import generator, weighted
from visnet.synthetic.shapes import Pose, smooth
from visnet.synthetic.view import projected

_QUALITY = 88


def paint(recipe: Recipe, name: str) -> bytes:
    """Return the photo of this id as JPEG bytes."""
    this = scene(recipe, name)
    rng = generator("paint", recipe.seed, recipe.side_px, name)
    image = _painted_street(this, rng) if "-street-" in name else _painted_shop(this, rng)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0)  # full colour: thin stripes live in it
    return out.getvalue()


def _painted_shop(this: Scene, rng: np.random.Generator) -> Image.Image:
    image = backdrop.studio(rng, *this.size)
    layer = projected(_picture(this, rng), this.view, this.view.extent(this.shapes), this.size)
    if layer:
        piece, corner = layer
        shadow = Image.new("L", this.size)
        shadow.paste(piece.getchannel("A"), (corner[0] + int(rng.integers(-5, 6)), corner[1] + int(rng.integers(2, 8))))
        shadow = shadow.filter(ImageFilter.BoxBlur(5)).point([round(v * 0.3) for v in range(256)])
        image.paste((60, 58, 62), (0, 0), shadow)
        image.paste(piece, corner, piece)
    return _lit(image, rng, 0.05, 0.02)


def _painted_street(this: Scene, rng: np.random.Generator) -> Image.Image:
    image = backdrop.clutter(rng, *this.size)
    for _ in range(int(rng.integers(1, 4))):
        _neighbour(image, this, rng)
    tone = wearer.tones(rng)
    if this.pose.worn:
        _figure(image, this, wearer.behind(this.product.category, this.product.look, this.pose, tone))
    layer = projected(_picture(this, rng), this.view, this.view.extent(this.shapes), this.size)
    if layer:
        image.paste(layer[0], layer[1], layer[0])
    if rng.random() < 0.6:
        _cover(image, this.box, rng)
    image = _lit(image, rng, 0.3, 0.2)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.8))))
    return _grainy(image, rng, float(rng.uniform(1, 9)))


def _picture(this: Scene, rng: np.random.Generator) -> Picture:
    module = CATEGORIES[this.product.category]
    strewn = getattr(module, "STREWN", False)
    return drawn(this.shapes, this.product.look, module.GRAIN, strewn=strewn, long_px=this.view.scale_px, rng=rng)


def _neighbour(image: Image.Image, this: Scene, rng: np.random.Generator) -> None:
    # Another garment, hung or held beside the one that is meant; most of it stays outside the box.
    category = weighted(rng, SHARES)
    module, look = CATEGORIES[category], random_look(rng, category)
    shapes = module.shapes(look, Pose(arms_deg=two(rng, 8, 40)))
    picture = drawn(
        shapes,
        look,
        module.GRAIN,
        strewn=getattr(module, "STREWN", False),
        long_px=max(this.size) * rng.uniform(0.3, 0.55),
        rng=rng,
    )
    turned = picture.image.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR, expand=True)
    left, _, width, _ = this.box
    x = (
        left - turned.width * rng.uniform(0.6, 1.1)
        if rng.random() < 0.5
        else left + width - turned.width * rng.uniform(-0.1, 0.4)
    )
    y = rng.uniform(-0.2, 0.8) * this.size[1]
    image.paste(turned, (round(x), round(y)), turned)


def _figure(image: Image.Image, this: Scene, parts: Sequence[wearer.Part]) -> None:
    layer = Image.new("RGBA", (this.size[0] * 2, this.size[1] * 2))
    pen = ImageDraw.Draw(layer)
    unit = this.view.scale_px / this.view.long * 2
    for shape, colour in parts:
        flat = (this.view.forward(shape.points) * 2).ravel().tolist()
        if shape.stroke:
            pen.line(flat, fill=colour, width=max(2, round(shape.stroke * unit)), joint="curve")
        else:
            pen.polygon(flat, fill=colour)
    layer = layer.reduce(2)
    image.paste(layer, (0, 0), layer)


def _cover(image: Image.Image, box: Box, rng: np.random.Generator) -> None:
    # An arm, a strap or a bag comes in front, from the edge of the box to some way in.
    left, top, width, height = box
    turn = rng.uniform(0, 2 * math.pi)
    out = np.array([math.cos(turn), math.sin(turn)])
    middle = np.array([left + width / 2, top + height / 2])
    half = np.array([width, height]) / 2
    near, far = middle + out * half * rng.uniform(0.45, 0.75), middle + out * half * 1.8
    side = np.array([-out[1], out[0]]) * rng.uniform(-0.3, 0.3) * min(width, height)
    thick = min(width, height) * rng.uniform(0.1, 0.22)
    colour = SKIN[int(rng.integers(len(SKIN)))] if rng.random() < 0.5 else any_colour(rng)
    pen = ImageDraw.Draw(image)
    path = smooth([tuple(near), tuple((near + far) / 2 + side), tuple(far)], 5)
    pen.line(path.ravel().tolist(), fill=colour, width=max(2, round(thick)), joint="curve")
    radius = thick * (0.5 if rng.random() < 0.6 else 0.95)  # a hand, or something that it holds
    pen.ellipse((near[0] - radius, near[1] - radius, near[0] + radius, near[1] + radius), fill=colour)


def _lit(image: Image.Image, rng: np.random.Generator, exposure: float, balance: float) -> Image.Image:
    gain = np.exp(rng.uniform(-exposure * 0.6, exposure)) * np.exp(rng.uniform(-balance, balance, 3))
    levels = np.arange(256)[None, :] / 255
    table = (255 * (levels ** np.exp(rng.uniform(-exposure, exposure) * 0.6)) * gain[:, None]).clip(0, 255)
    image = image.point(table.round().astype(int).ravel().tolist())
    slope = rng.uniform(1 - exposure, 1, (3, 3))
    plane = Image.fromarray((slope * 255).clip(0, 255).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(image, Image.merge("RGB", (plane, plane, plane)))


def _grainy(image: Image.Image, rng: np.random.Generator, sigma: float) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((pixels + noise * np.float32(sigma)).clip(0, 255).astype(np.uint8))
