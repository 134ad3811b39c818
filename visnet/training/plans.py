"""What the batches of an epoch hold: the given triplets in turn, or so many products with some photos each."""

import numpy as np

from visnet.training.batches import Rows


class ByTriplet:
    """Every given triplet [T, 3] once an epoch, shuffled; nearly equal batches of at most `per_batch`."""

    def __init__(self, triplets: Rows, *, per_batch: int, seed: int) -> None:
        self.triplets = triplets
        self.seed = seed
        # Nearly equal: a last batch of one triplet would upset batch norm.
        self.batches = -(-len(triplets) // per_batch)
        self._order: tuple[int, Rows] = (-1, np.empty(0, np.int64))

    def rows(self, epoch: int, number: int) -> tuple[Rows, Rows]:
        """Return the distinct photos [B] of a batch, and its triplets [T, 3] as places among them."""
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.triplets))
        first, last = (len(self.triplets) * end // self.batches for end in (number, number + 1))
        photos, places = np.unique(self.triplets[self._order[1][first:last]], return_inverse=True)
        return photos, places.reshape(-1, 3).astype(np.int64)


class ByProduct:
    """Batches of `products` with up to `photos` each: a product comes as often as any other, whatever its photos.

    pool [M] are the rows to draw from, labels [N] and street [N] say of every row its product and its side. A product
    with photos of both sides gives half of each, as far as it has them. Products of one photo are left out. An epoch
    has as many photos as the pool. The triplets are all ordered pairs of a product's photos, each with a random photo
    of another product. `ValueError` when fewer than two products have two photos.
    """

    def __init__(self, pool: Rows, labels: Rows, street: Rows, *, products: int, photos: int, seed: int) -> None:
        order = pool[np.lexsort((pool, labels[pool]))]
        groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        self.groups = [group for group in groups if len(group) > 1]
        if len(self.groups) < 2:
            raise ValueError(
                f"batches of products need 2 products with 2 photos each, and there are {len(self.groups)}; "
                "let [triplets] alike = 'colour' take photos of one category and colour for one product"
            )
        self.street = street.astype(bool)
        self.products, self.photos = min(products, len(self.groups)), photos
        self.seed = seed
        self.batches = max(1, round(sum(map(len, self.groups)) / (self.products * photos)))
        self._order: tuple[int, Rows] = (-1, np.empty(0, np.int64))

    def rows(self, epoch: int, number: int) -> tuple[Rows, Rows]:
        """Return the photos [B] of a batch, product by product, and its triplets [T, 3] as places among them."""
        if self._order[0] != epoch:
            self._order = epoch, self._turns(np.random.default_rng([self.seed, epoch]))
        rng = np.random.default_rng([self.seed, epoch, number])
        chosen = self._order[1][number * self.products : (number + 1) * self.products]
        drawn = [self._draw(self.groups[group], rng) for group in chosen]
        sizes = np.array([len(rows) for rows in drawn])
        return np.concatenate(drawn), _all_pairs(sizes, rng)

    def _turns(self, rng: np.random.Generator) -> Rows:
        """Put the products into turns, none twice in a batch."""
        turns = rng.permutation(len(self.groups))
        while len(turns) < self.batches * self.products:
            begun = len(turns) % self.products  # of a batch that the next permutation completes
            fresh = rng.permutation(len(self.groups))
            late = np.isin(fresh, turns[len(turns) - begun :])
            turns = np.concatenate([turns, fresh[~late], fresh[late]])
        return turns

    def _draw(self, group: Rows, rng: np.random.Generator) -> Rows:
        street, shop = group[self.street[group]], group[~self.street[group]]
        half = min(len(shop), max(self.photos // 2, self.photos - len(street)))
        taken = rng.permutation(shop)[:half]
        return np.concatenate([taken, rng.permutation(street)[: self.photos - len(taken)]])


def _all_pairs(sizes: Rows, rng: np.random.Generator) -> Rows:
    label = np.repeat(np.arange(len(sizes)), sizes)
    q, p = np.nonzero((label[:, None] == label) & ~np.eye(len(label), dtype=bool))
    first, own = (np.cumsum(sizes) - sizes)[label[q]], sizes[label[q]]
    n = rng.integers(0, len(label) - own)
    return np.stack([q, p, n + own * (n >= first)], axis=1).astype(np.int64)
