"""The columns of crops that have a box; imports nothing that takes time."""

from visnet.photos.cutting import BOX

COLUMNS = ["crop_id", "photo_id", "product_id", "category", "split", *BOX]
