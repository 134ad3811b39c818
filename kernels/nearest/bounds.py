"""Proven lower bounds of a squared distance computed by norm expansion.

With x, y the query and gallery vectors, maybe both shifted by one centre and rounded, a scan computes

    b = fl(y' - 2 x.y),   y' = (1 - 2 kappa) fl(|y|^2),   kappa = 1.5 n u / (1 - n u),   n = D + 16

where u is the unit roundoff of its products and sums, in any order, with or without fused multiply-add. Then b errs by
at most gamma (2 |y|^2 + |x|^2) with gamma = kappa / 1.5, because 2 |x||y| <= |x|^2 + |y|^2; the norm of y errs by
gamma |y|^2 more; the shift's rounding moves the squared distance by at most 4 u (|x|^2 + |y|^2). The 16 covers that and
the rounding of the score itself. As y' has paid the gallery's share already,

    lower = b + (1 - 2 kappa) |x|^2 - floor  <=  true squared distance  <=  lower + 4 kappa (|x|^2 + |y|^2) + 2 floor

so ranking by b ranks by lower bound, however widely the gallery's norms are spread. `floor` covers flushed denormals.
"""

from dataclasses import dataclass

FLOAT32 = 2.0**-24
FLOAT64 = 2.0**-53
TENSOR_CORE = 2.0**-21  # exact 16-bit products, summed in float32 but truncated, aligned to the largest of their group

SAFE_SQ_NORM = 2.0**100  # of the largest vector; beyond it a float32 scan may overflow
SAFE_ROUNDOFF = 0.1  # n u at most; beyond it the bound says nothing


@dataclass(frozen=True)
class Bound:
    """The error of one scan: `kappa` as a share of squared norms, `floor` in squared distance."""

    kappa: float
    floor: float

    @property
    def norm_share(self) -> float:
        """How much of a squared norm may be counted on in a lower bound."""
        return 1.0 - 2.0 * self.kappa


def bound(d: int, unit: float, max_sq_norm: float) -> Bound | None:
    """Bound the error of sums over D terms in an arithmetic of unit roundoff `unit`; None where no bound holds.

    max_sq_norm: of queries and gallery as scanned.
    """
    roundoff = (d + 16) * unit
    if not (max_sq_norm <= SAFE_SQ_NORM and roundoff <= SAFE_ROUNDOFF):
        return None
    return Bound(kappa=1.5 * roundoff / (1.0 - roundoff), floor=(d + 16) * 2.0**-120 * (1.0 + max_sq_norm**0.5))
