"""What photos show, in today's tree: by a model that may have learnt another one, as stored answers are mapped."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from visnet.categorizing import answers
from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.retelling import Retelling
from visnet.taxonomy.tree import Taxonomy


class Teller:
    """Answers as the stage `category_paths` does of the same photo: in the tree that it found."""

    def __init__(self, categorizer: Categorizer, retelling: Retelling | None) -> None:
        """Take None where the model's own tree is today's."""
        self.categorizer, self._retelling = categorizer, retelling

    @classmethod
    def load(cls, model: Path, today: Path) -> "Teller":
        """Read the folder of a model, and the file of what became of its tree, which need not be there.

        `NotReady` where that is of another tree than the model's.
        """
        categorizer = Categorizer.load(model)
        return cls(categorizer, Retelling.read(today, categorizer.taxonomy, categorizer.settings.sure))

    @property
    def tree(self) -> Taxonomy:
        """The tree in which it answers."""
        return self.categorizer.taxonomy if self._retelling is None else self._retelling.tree

    @property
    def sure(self) -> float:
        """How sure, in 0..1, a level must be to be told."""
        return self.categorizer.settings.sure

    def square(self, picture: Image.Image) -> Tensor:
        """Make an upright RGB picture what the networks take, uint8 [3, S, S]."""
        return self.categorizer.square(picture)

    def categorize(self, squares: Sequence[Tensor]) -> list[PathAnswer]:
        """Answer for a few photos, uint8 [3, S, S]."""
        likely = self.categorizer.likely(squares)
        own = answers.answers(self.categorizer.taxonomy, likely, self.sure)
        if self._retelling is None:
            return own
        found = []
        for row, answer in zip(likely, own, strict=True):
            mapped = self._retelling.stored(answer.path, answer.level_probabilities)
            found.append(mapped or self._retelling.predicted(row[None])[0])
        return found
