"""Scores that float64 cannot round: sums with their rounding errors kept, and at last Python's whole numbers."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor


def scores(x: Tensor, y: Tensor, metric: str) -> Tensor:
    """Score pairs to the last bit: x, y [P, D] float64 of float32 values. Returns [P] float32, correctly rounded."""
    terms = torch.cat((x * x, y * y, -2.0 * x * y), dim=1) if metric == "sq_euclidean" else x * y  # each one exact
    total, rest, slack = _exact_sum(terms)
    if metric == "cosine":
        result, sure = torch.zeros_like(total), (total == 0.0) & (rest == 0.0) & (slack == 0.0)
    else:
        result = total
        exact = (rest == 0.0) & (slack == 0.0)
        low = torch.nextafter(total + (rest - slack), total.new_tensor(-torch.inf))
        high = torch.nextafter(total + (rest + slack), total.new_tensor(torch.inf))
        sure = exact | (low.float() == high.float())
        result = torch.where(exact, total, low)
    result = result.float()
    for pair in torch.nonzero(~sure)[:, 0].tolist():
        result[pair] = _by_whole_numbers(x[pair].tolist(), y[pair].tolist(), metric)
    return result


def _exact_sum(terms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the last axis of [P, N], keeping each addition's rounding error: (sum, errors' sum, what that may be off)."""
    rest, size, n = terms.new_zeros(terms.shape[0]), terms.new_zeros(terms.shape[0]), terms.shape[1]
    while terms.shape[1] > 1:
        half = (terms.shape[1] + 1) // 2
        a, b, odd = terms[:, : terms.shape[1] - half], terms[:, half:], terms[:, terms.shape[1] - half : half]
        total = a + b
        there = total - a
        error = (a - (total - there)) + (b - there)
        rest, size = rest + error.sum(dim=1), size + error.abs().sum(dim=1)
        terms = torch.cat((total, odd), dim=1)
    return terms[:, 0], rest, size * (4.0 * n * 2.0**-53)


def _by_whole_numbers(x: list[float], y: list[float], metric: str) -> float:
    """Score one pair by integers: every float32 is a whole number of 2 ** -149."""
    a, b = ([int(math.ldexp(value, 149)) for value in vector] for vector in (x, y))
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    if metric == "cosine":
        sq_norms = sum(p * p for p in a) * sum(q * q for q in b)
        if dot == 0 or sq_norms == 0:
            return 0.0
        square = Fraction(dot * dot, sq_norms)
        return math.copysign(_nearest_float32(math.sqrt(square), lambda middle: _sign(square - middle**2)), dot)
    whole = dot if metric == "inner_product" else sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    value = Fraction(whole, 1 << 298)
    return _nearest_float32(float(value), lambda middle: _sign(value - middle))


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


def _nearest_float32(guess: float, side: Callable[[Fraction], int]) -> float:
    """Round to float32 the number within a step of `guess`; side(m): is it below, at or above m (-1, 0, 1)?"""
    with np.errstate(over="ignore"):
        low = np.nextafter(np.float32(guess), np.float32(-np.inf))
        while True:
            high = np.nextafter(low, np.float32(np.inf))
            where = side((_finite(low) + _finite(high)) / 2)
            if where < 0 or (where == 0 and not int(low.view(np.int32)) & 1) or not np.isfinite(high):
                return float(low if where <= 0 else high)
            if where == 0:
                return float(high)  # a tie goes to the even mantissa
            low = high


def _finite(value: np.float32) -> Fraction:
    """Return what rounding takes an infinity for: the power of two beyond the largest float32."""
    return Fraction(float(value)) if np.isfinite(value) else Fraction(2**128 * (1 if value > 0 else -1))
