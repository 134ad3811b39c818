"""A folder of photos and nothing else: is each file a product, or each folder?"""

import statistics
from collections import Counter
from pathlib import Path, PurePosixPath

from visnet.inspection.inspected import Inspected, counts, listed

FEW = 12  # photos of one product, at most
MANY = 20  # folders of few photos: so many are products, since nobody has as many categories of so little
SOME = 4  # folders of few photos are products when their files are called alike: front.jpg, back.jpg


def inspect(folder: Path, target: str, notes: tuple[str, ...] = ()) -> Inspected:
    """Decide what a product is in a folder of photos; `ValueError` when there is no photo below it."""
    photo_ids = listed("folder", {}, folder).photos["photo_id"].to_pylist()
    products, why = decided(photo_ids)
    own = {"products": products}
    found = counts(listed("folder", own, folder))
    return Inspected(target, "folder", folder, own, found, (why, *notes), (("Products", why),))


def decided(photo_ids: list[str]) -> tuple[str, str]:
    """Return what a product is, "file" or "folder", and why; photo_ids are paths from the folder."""
    paths = [PurePosixPath(photo_id) for photo_id in photo_ids]
    held = Counter(str(path.parent) for path in paths if len(path.parts) > 1)
    if not held:
        return "file", "each photo is a product: no folder is among them, and all are of one category"
    small = {folder for folder, count in held.items() if count <= FEW}
    in_small = sum(held[folder] for folder in small)
    typical = int(statistics.median(held.values()))
    folders = f"{len(held)} folder{'s' * (len(held) != 1)}, typically of {typical} photo{'s' * (typical != 1)}"
    if 2 * in_small > len(paths) and len(small) > 0.8 * len(held):
        stems = Counter(path.stem.lower() for path in paths if str(path.parent) in small)
        alike = 2 * sum(count for count in stems.values() if count > 1) > in_small
        if len(small) >= MANY:
            return "folder", f"each folder is a product: there are {folders}"
        if len(small) >= SOME and alike:
            return "folder", f"each folder is a product: there are {folders}, whose files are called alike"
        return "file", f'each photo is a product: {folders}, are too few for products; if they are some, "folder"'
    return "file", f"each photo is a product, and its folder the category: there are {folders}"
