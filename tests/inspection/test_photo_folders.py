"""A folder of photos: which folders are products, and which are categories."""

import pytest

from visnet.inspection.photo_folders import decided


def paths(folders: int, photos: int, above: str = "", alike: bool = False) -> list[str]:
    return [
        f"{above}{folder}/{'' if alike else f'{folder}-'}{photo}.jpg"
        for folder in range(folders)
        for photo in range(photos)
    ]


@pytest.mark.parametrize(
    ("photo_ids", "products"),
    [
        (["a.jpg", "b.jpg"], "file"),
        (paths(3, 20), "file"),
        (paths(10, 300), "file"),
        (paths(100, 1), "folder"),
        (paths(100, 4), "folder"),
        (paths(20, 12, above="bags/"), "folder"),
        (paths(5, 3, alike=True), "folder"),
        (paths(5, 3), "file"),
        (paths(2, 3, alike=True), "file"),
        ([*paths(30, 3), *(f"loose-{n}.jpg" for n in range(200))], "file"),
        ([*paths(30, 3), "loose.jpg"], "folder"),
        ([*paths(30, 3, above="bags/"), *paths(4, 100, above="hats/")], "file"),
    ],
)
def test_many_folders_of_few_photos_are_products_and_few_of_many_are_categories(
    photo_ids: list[str], products: str
) -> None:
    found, why = decided(photo_ids)
    assert (found, why.startswith("each photo" if found == "file" else "each folder")) == (products, True)


def test_what_could_be_either_says_so() -> None:
    assert decided(paths(5, 3))[1].endswith('too few for products; if they are some, "folder"')
