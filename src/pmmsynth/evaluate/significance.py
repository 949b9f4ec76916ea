"""Whether one method is better than others on the same cases: paired tests, corrected, and intervals of differences."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, wilcoxon

from pmmsynth.evaluate.score import Score
from pmmsynth.metrics import PROTOCOL

Measure = Literal["psnr", "ssim"]
Place = TypeVar("Place", bound=Hashable)
SEED = 0


@dataclass(frozen=True)
class Difference:
    """How much better one method is than another on the cases both were scored on, in one task of one dataset.

    Attributes:
        n: Cases.
        mean: Of the differences; positive: better.
        low: Lower end of the 95 % interval of the mean (BCa bootstrap over cases); NaN for a single case.
        high: Upper end.
        p: Of the two-sided Wilcoxon signed-rank test over the cases that differ, corrected after Holm over all
            comparisons made together; 1 where none differs.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float

    @property
    def within(self) -> bool:
        """Whether the interval leaves open who is better; a single case has no interval, so not."""
        return self.low <= 0 <= self.high


def differences(
    scores: Iterable[Score], method: str, *, measure: Measure = "psnr", protocol: str = PROTOCOL
) -> dict[tuple[str, str, str], Difference]:
    """One method against every other, by (dataset, task, other)."""
    values: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for score in scores:
        if score.protocol == protocol:
            values[score.dataset, score.task][score.method][score.case] = getattr(score, measure)
    pairs = {}
    for (dataset, task), methods in values.items():
        for other in methods.keys() - {method} if method in methods else ():
            shared = sorted(methods[method].keys() & methods[other].keys())
            if shared:
                pairs[dataset, task, other] = np.array([methods[method][c] - methods[other][c] for c in shared])
    return compare(pairs)


def intervals(
    scores: Iterable[Score], *, measure: Measure = "psnr", protocol: str = PROTOCOL
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The 95 % interval of every method's own mean over cases, by (dataset, task, method); NaN for a single case."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for score in scores:
        if score.protocol == protocol:
            values[score.dataset, score.task, score.method].append(getattr(score, measure))
    return {place: _interval(np.array(found)) for place, found in values.items()}


def compare(pairs: Mapping[Place, NDArray[np.float64]]) -> dict[Place, Difference]:
    """What paired differences over cases say, one array per comparison; p is corrected for their number."""
    corrected = holm([_p(pair) for pair in pairs.values()])
    return {
        place: Difference(len(pair), float(pair.mean()), *_interval(pair), p)
        for (place, pair), p in zip(pairs.items(), corrected, strict=True)
    }


def holm(values: Sequence[float]) -> list[float]:
    """P values corrected for their number: the k-th smallest of m times m - k + 1, not falling, 1 at most."""
    order = np.argsort(values)
    factors = len(values) - np.arange(len(values))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(values)[order] * factors), 1.0)
    return corrected.tolist()


def _p(pair: NDArray[np.float64]) -> float:
    differing = pair[pair != 0]  # with zeros among them SciPy would leave the exact distribution
    return float(wilcoxon(differing).pvalue) if differing.size else 1.0


def _interval(pair: NDArray[np.float64]) -> tuple[float, float]:
    if len(pair) < 2:
        return float("nan"), float("nan")
    if np.ptp(pair) == 0:
        return float(pair[0]), float(pair[0])
    found = bootstrap((pair,), np.mean, rng=np.random.default_rng(SEED)).confidence_interval
    return float(found.low), float(found.high)
