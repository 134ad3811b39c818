"""The generator behind the synthetic source: a small fashion shop, its stock and its photos.

`assortment` says which products there are, `garments` what each is cut like, `cloth` and `emblems` what it is made of,
`view` where the camera stands, `backdrop` and `wearer` what else is in the picture, `photos` puts them together.
Needs only numpy and Pillow. Every photo is a function of the recipe and its own id, so any process can paint any photo.
`trade` is what the shop does hour by hour, and `feed`, which needs pyarrow, tells of it.
"""

VERSION = "1"  # raise it whenever the same recipe would paint other bytes: it is part of every locator
