"""The steps that requests take together: photos go through the network and the localizer, questions to the search.

These hold parts of an engine and not the engine itself, or it would stay in memory until the next collection of cycles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.teller import Teller
from visnet.localizing.localizer import Localizer, Proposal
from visnet.serving.app.columns import ANYWHERE, Where
from visnet.serving.app.current import Current
from visnet.serving.live import photos
from visnet.serving.ranking import Ranking
from visnet.serving.searcher import Searcher

DEPTH = 2048  # answers of a search that are ranked, paged through and counted
PROPOSED = 5  # boxes of a photo that are shown


@dataclass(frozen=True, eq=False)
class Question:
    """A unit vector [D], of which the k nearest products that may answer are wanted.

    but: a photo whose product does not answer, -1 for none. collapse: of a double listing only the nearest answers.
    uncropped: nothing was cut out of the photo that it is of. known: what answers as long as no product is changed.
    """

    vector: torch.Tensor
    where: Where = ANYWHERE
    but: int = -1
    k: int = DEPTH
    collapse: bool = False
    uncropped: bool = False
    known: Ranking | None = None


class Embedder:
    """Embeds photos in batches of the sizes that give each the vector that it has alone."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.sizes: tuple[int, ...] = (1,)

    def squares(self, squares: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the vectors, each [D], of squares, each uint8 [3, S, S]."""
        return list(self._searcher.vectors(squares, self.sizes))

    def crops(self, crops: Sequence[bytes]) -> torch.Tensor:
        """Return the vectors [B, D] of crops as JPEG."""
        squares = [self._searcher.square(photos.opened(jpeg)) for jpeg in crops]
        return self._searcher.vectors(squares, self.sizes)


def proposed(localizer: Localizer | None, pictures: Sequence[Image.Image]) -> Sequence[list[Proposal]]:
    """Return the boxes that the localizer is sure of in each picture, best first."""
    assert localizer is not None
    return [found[:PROPOSED] for found in localizer.propose(pictures)]


def categorized(teller: Teller | None, squares: Sequence[torch.Tensor]) -> Sequence[PathAnswer]:
    """Tell the category path of each photo, uint8 [3, S, S]."""
    assert teller is not None
    return teller.categorize(squares)


def ranked(current: Current, questions: Sequence[Question]) -> Sequence[Ranking]:
    """Answer questions, those of one kind in one search."""
    found: dict[int, Ranking] = {}
    asked = [(one.where, one.k, one.collapse, one.uncropped, one.known is not None) for one in questions]
    for kind in dict.fromkeys(asked):
        where, k, collapse, uncropped, _ = kind
        mine = [at for at, other in enumerate(asked) if other == kind]
        vectors = torch.stack([questions[at].vector for at in mine])
        but, known = [questions[at].but for at in mine], [one for at in mine if (one := questions[at].known)]
        rankings = current.rank(vectors, k, where, but, known or None, collapse=collapse, uncropped=uncropped)
        found |= dict(zip(mine, rankings, strict=True))
    return [found[at] for at in range(len(questions))]
