"""A figure over cases with its 95 % interval: cases are drawn again, with replacement, from a fixed seed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEED, RESAMPLES = 0, 2000

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From how often each case counts (rows: resamples, columns: cases) to one figure per row; NaN where there is none."""


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95 % percentile interval (NaN for fewer than two cases) and the number of cases."""

    n: int
    value: float
    low: float
    high: float


def estimate(statistic: Statistic, n: int) -> Estimate:
    """The figure for n cases as they are, and the interval over resamples that have the figure."""
    nan = float("nan")
    if n == 0:
        return Estimate(0, nan, nan, nan)
    value = float(statistic(np.ones((1, n)))[0])
    if n == 1 or np.isnan(value):
        return Estimate(n, value, nan, nan)
    drawn = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    figures = statistic(drawn.astype(np.float64))
    low, high = np.percentile(figures[~np.isnan(figures)], [2.5, 97.5])
    return Estimate(n, value, float(low), float(high))


def mean_of(values: Array) -> Statistic:
    """The mean of one value per case."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def ratio(part: Array, whole: Array, empty: float = float("nan")) -> Array:
    """part / whole, `empty` where whole is 0."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, empty), where=whole != 0)
