"""How probable it is that a hit shows the product of the photo that asked, by how far it is: what a service tells.

The answer is for what a search shows: the k nearest distinct products of a photo, each by its nearest photo, where the
photo's product is in the catalog. It was fitted (`visnet.evaluation.calibration_fit`) to photos that neither trained
the model nor test it. The same distance means more of a photo's nearest hit than of a later one, since at most one of
them is right, and less in a search of the whole shop, which meets products of other categories, too: each of these has
curves of its own. So has a whole photo of the street that nothing was cut out of: it shows much beside the product,
and whether any is the shop's is all the more open.

Whether the catalog has the photo's product at all is another question, with curves of its own: by how far the nearest
hit is. They were fitted to the same photos, searched with their product in the shop and with it left out; what share of
the photos that will ask show a product of the shop is not in them, and is given.

Distances of two models mean nothing to each other, and so a calibration is bound to the model whose it is.
"""

import functools
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, model_validator

from visnet.errors import Damaged, NotReady
from visnet.pipeline.stage import Frozen
from visnet.storage import atomic

FILE = "calibration.json"
CURE = "run `dvc repro evaluation`"
AGAIN = "run `dvc repro --force --single-item evaluation`"


class Curve(Frozen):
    """Probability by squared distance: the log-odds are linear between knots, and level before and after them.

    `kind` says what it was fitted by: a logistic function has two knots, an isotonic one as many as it has corners.
    """

    kind: Annotated[str, Field(pattern="^(logistic|isotonic)$")]
    sq_distance: Annotated[tuple[float, ...], Field(min_length=1)]
    log_odds: Annotated[tuple[float, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _falls(self) -> "Curve":
        if len(self.sq_distance) != len(self.log_odds):
            raise ValueError(f"{len(self.sq_distance)} distances for {len(self.log_odds)} log-odds")
        if min(self.sq_distance) < 0 or (np.diff(self.sq_distance) <= 0).any():
            raise ValueError("squared distances must ascend from 0 or more")
        if (np.diff(self.log_odds) > 0).any():
            raise ValueError("log-odds must not rise with the distance")
        return self

    def probability(self, sq_distance: np.ndarray) -> np.ndarray:
        """Return the probabilities, in 0..1, of squared distances of any shape, float64."""
        log_odds = np.interp(np.asarray(sq_distance, np.float64), *self._knots)
        return np.asarray(0.5 * (1 + np.tanh(log_odds / 2)))

    @functools.cached_property
    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """The squared distances and log-odds of the knots, [N] float64 each."""
        return np.array(self.sq_distance), np.array(self.log_odds)

    def moved(self, by: float) -> "Curve":
        """Return the curve with all log-odds moved by so much: of another share of right answers."""
        return Curve(kind=self.kind, sq_distance=self.sq_distance, log_odds=tuple(one + by for one in self.log_odds))


class Curves(Frozen):
    """The curve of all categories together, and those of categories that have enough photos for one of their own."""

    pooled: Curve
    categories: dict[str, Curve] = Field(default={})

    def probability(self, sq_distance: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Return the probabilities of hits, [P] float64, by their squared distances [P] and categories [P]."""
        found = self.pooled.probability(sq_distance)
        for name in self.categories.keys() & set(category.tolist()):
            mine = category == name
            found[mine] = self.categories[name].probability(sq_distance[mine])
        return found


class Ranked(Frozen):
    """The curves of the nearest hit of a photo, and those of later ones, each where the catalog has the product.

    in_catalog: that it has, by the nearest hit; None where too few photos told, or in a file of before.
    """

    first: Curves
    later: Curves
    in_catalog: Curves | None = None

    def probability(self, sq_distance: np.ndarray, category: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return the probabilities of hits, [P] float64; first: whether each is its photo's nearest, bool [P]."""
        found = self.later.probability(sq_distance, category)
        found[first] = self.first.probability(sq_distance[first], category[first])
        return found

    def presence(self, sq_distance: np.ndarray, category: np.ndarray) -> float | None:
        """Return how probable it is that the catalog has the photo's product; None where no curve tells, or of no hit.

        Of its hits [P], nearest first, the nearest decides.
        """
        if self.in_catalog is None or not len(sq_distance):
            return None
        return float(self.in_catalog.probability(sq_distance[:1], category[:1])[0])


class SearchCurves(Frozen):
    """The curves of a search `within` the photo's category, and of one of the `whole` shop; how many photos asked."""

    queries: Annotated[int, Field(ge=1)]
    within: Ranked
    whole: Ranked


class Calibration(SearchCurves):
    """What hits of a model mean, where a product was cut out of the photo that asked, and where nothing was.

    model: by which the vectors are (`visnet.embedding.model_id`). k: how many products a search showed. queries: how
    many validation photos it was fitted to. uncropped: the curves of photos that show more than their product, as they
    are; None where they were too few: they have the others', as in a shop whose photos have no boxes. in_catalog_share:
    of how many of the photos that will ask the catalog has the product, as was assumed; None in a file of before.
    """

    model: str
    k: Annotated[int, Field(ge=1)]
    in_catalog_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    uncropped: SearchCurves | None = None

    def ranked(self, *, whole: bool, uncropped: bool = False) -> Ranked:
        """Return the curves of a search of the `whole` shop or within a category, by a crop or an `uncropped` photo."""
        searches = self.uncropped if uncropped and self.uncropped is not None else self
        return searches.whole if whole else searches.within

    def probability(
        self, sq_distance: float, category: str, *, first: bool = False, whole: bool = False, uncropped: bool = False
    ) -> float:
        """Return how probable it is, in 0..1, that a hit of a category at this squared distance is the photo's product.

        It never rises with the distance. first: it is the photo's nearest hit. whole: the search was not narrowed to a
        category. uncropped: nothing was cut out of the photo. A category that has no curve of its own has that of all.
        `ValueError` for what is no distance.
        """
        if not sq_distance >= 0:
            raise ValueError(f"sq_distance {sq_distance}: allowed is 0 or more")
        ranked = self.ranked(whole=whole, uncropped=uncropped)
        curves = ranked.first if first else ranked.later
        return float(curves.categories.get(category, curves.pooled).probability(np.asarray(sq_distance)))

    def save(self, folder: Path) -> None:
        """Write it into a folder, whole or not at all."""
        atomic.put_text(folder / FILE, self.model_dump_json(indent=1) + "\n")


def load(folder: Path, model: str) -> Calibration | None:
    """Read the calibration in a folder, None where there is none.

    `Damaged` when it is no calibration, `NotReady` when it is another model's; either says what to run.
    """
    path = folder / FILE
    try:
        read = Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError):
        raise Damaged(f"{path} is damaged: {AGAIN}") from None
    if read.model != model:
        raise NotReady(f"{path} is of another model ({read.model[:8]}) than the vectors ({model[:8]}): {CURE}")
    return read
