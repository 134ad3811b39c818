"""The rule by which pairs are compared and shown: the stage's parameters, published for who asks with one photo."""

from pathlib import Path

from pydantic import Field, ValidationError

from visnet.errors import Damaged
from visnet.pipeline.stage import Frozen
from visnet.storage import atomic

FILE = "duplicate_rule.json"


class Rule(Frozen):
    """Which pairs of photos are compared, and from which score on one is shown.

    A pair is compared for the cosine of its embeddings (alike_min), for its perceptual hashes (hash_bits_max of 64 may
    differ), or because one is among the nearest others of its category, for each product that many (nearest).
    score_min: how probable it must be that both photos show one picture.
    """

    alike_min: float = Field(0.95, ge=0.5, le=1)
    hash_bits_max: int = Field(10, ge=0, le=16)
    nearest: int = Field(5, ge=0, le=100)
    score_min: float = Field(0.6, gt=0, lt=1)

    @property
    def sq_limit(self) -> float:
        """The squared distance of unit vectors within which a pair is compared."""
        return 2 - 2 * self.alike_min


def write(folder: Path, rule: Rule) -> None:
    """Write a rule into a folder; equal rules are equal bytes."""
    own = Rule.model_validate({name: getattr(rule, name) for name in Rule.model_fields})
    text = own.model_dump_json(indent=1) + "\n"
    path = folder / FILE
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        atomic.put_text(path, text)


def read(folder: Path) -> Rule | None:
    """Read the rule of a folder, None where there is none; `Damaged` when it is no rule."""
    path = folder / FILE
    try:
        return Rule.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError):
        raise Damaged(f"{path} is damaged: run `dvc repro --force --single-item duplicates`") from None
