"""The eleven categories of Street2Shop, one module each.

Every module has
    CUT       attribute -> options; every option shows
    PATTERNS  pattern -> how often it occurs
    GRAIN     size of the pattern, against that of a top
    STREWN    (optional) True: a print is repeated all over the cloth
    def shapes(cut, pose) -> list[Shape]
"""

from types import ModuleType

from visnet.synthetic.garments import (
    bags,
    belts,
    dresses,
    eyewear,
    footwear,
    hats,
    leggings,
    outerwear,
    pants,
    skirts,
    tops,
)

CATEGORIES: dict[str, ModuleType] = {
    "bags": bags,
    "belts": belts,
    "dresses": dresses,
    "eyewear": eyewear,
    "footwear": footwear,
    "hats": hats,
    "leggings": leggings,
    "outerwear": outerwear,
    "pants": pants,
    "skirts": skirts,
    "tops": tops,
}
