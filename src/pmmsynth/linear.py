"""Least squares between modalities, from sums over the training slices gathered in one pass.

Sums are kept per dataset and set of modalities, so memory does not grow with the cohort.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pmmsynth.console import Reporter
from pmmsynth.store import PreparedCase


@dataclass
class Sums:
    """Sums over the scored slices of all training cases of one dataset that have the same modalities.

    Attributes:
        gram: Products of (1, x_1, ..., x_k) with one another, summed over voxels inside the brain.
        total: (modality, row, column), summed over slices.
        slices: How many.
    """

    dataset: str
    modalities: tuple[str, ...]
    gram: NDArray[np.float64]
    total: NDArray[np.float64]
    slices: int = 0

    def add(self, case: PreparedCase) -> None:
        brain = case.brain()
        for index in case.scored_slices():
            pixels = case.slices([index])[:, 0].astype(np.float64)
            inside = np.vstack([np.ones(int(brain[index].sum())), pixels[:, brain[index]]])
            self.gram += inside @ inside.T
            self.total += pixels * brain[index]
            self.slices += 1

    def products(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Rows and columns of `gram`: the constant, then these modalities."""
        rows = [0, *(1 + self.modalities.index(name) for name in names)]
        return self.gram[np.ix_(rows, rows)]


@dataclass(frozen=True)
class LeastSquares:
    """Linear regression of any modality on any others, per dataset.

    A task whose modalities no training case of the dataset has together is fitted on all datasets that have them;
    `fitted_on` says which.
    """

    sums: tuple[Sums, ...]

    def having(self, dataset: str, names: Iterable[str]) -> list[Sums]:
        """The sums to fit these modalities on: the dataset's own if it has them, else all that do, else none."""
        able = [s for s in self.sums if set(names) <= set(s.modalities)]
        return [s for s in able if s.dataset == dataset] or able

    def fitted_on(self, dataset: str, names: Iterable[str]) -> tuple[str, ...]:
        """The datasets whose training cases have all these modalities: the case's own if it can, else all that do."""
        return tuple(dict.fromkeys(s.dataset for s in self.having(dataset, names)))

    def gram(self, dataset: str, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Products of the constant and these modalities, summed over what they are fitted on."""
        return np.sum([s.products(names) for s in self.having(dataset, names)], axis=0)

    def coefficients(self, dataset: str, sources: tuple[str, ...], target: str) -> NDArray[np.float64]:
        """a, then b_s in the order of `sources`, of target = a + sum of b_s x_s."""
        gram = self.gram(dataset, (*sources, target))
        solution = np.linalg.lstsq(gram[:-1, :-1], gram[:-1, -1], rcond=None)[0]  # two equal sources share a slope
        return solution.astype(np.float64)


def fit_least_squares(cases: Iterable[PreparedCase], reporter: Reporter) -> LeastSquares:
    """Gather the sums, slice by slice from the memory-mapped arrays; cases without scored slices add nothing."""
    groups: dict[tuple[str, tuple[str, ...]], Sums] = {}
    able = [case for case in cases if case.scored_slices().size]
    with reporter.progress("linear regression", len(able)) as advance:
        for case in able:
            case.verify()
            key = (case.record.dataset, case.record.modalities)
            if key not in groups:
                count, matrix = len(key[1]), case.images().shape[-2:]
                groups[key] = Sums(*key, np.zeros((count + 1, count + 1)), np.zeros((count, *matrix)))
            groups[key].add(case)
            advance(case.record.case)
    return LeastSquares(tuple(groups.values()))
