"""The trivial floors every method must beat: copy of the best source, dataset mean image, linear regression.

All three follow from sums over the training slices, kept per dataset and set of modalities and gathered in one pass;
memory does not grow with the cohort. A task whose modalities no training case of the dataset has together is fitted on
all datasets that have them; `Floors.fitted_on` says which.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pmmsynth.console import Reporter
from pmmsynth.evaluate.method import Method, Stack
from pmmsynth.modality import Task
from pmmsynth.store import CaseRecord, PreparedCase, Store

COPY, MEAN, REGRESSION = FLOORS = ("copy", "mean image", "regression")


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
        images, brain = case.images(), case.brain()
        for index in case.scored_slices():
            pixels = images[:, index].astype(np.float64)
            inside = np.vstack([np.ones(int(brain[index].sum())), pixels[:, brain[index]]])
            self.gram += inside @ inside.T
            self.total += pixels * brain[index]
            self.slices += 1

    def products(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Rows and columns of `gram`: the constant, then these modalities."""
        rows = [0, *(1 + self.modalities.index(name) for name in names)]
        return self.gram[np.ix_(rows, rows)]


@dataclass(frozen=True)
class Floors:
    """The fitted floors; each is a `Synthesize`. `digest` identifies the training data."""

    sums: tuple[Sums, ...]
    digest: str

    def fitted_on(self, dataset: str, names: Iterable[str]) -> tuple[str, ...]:
        """The datasets whose training cases have all these modalities: the case's own if it can, else all that do."""
        return tuple(dict.fromkeys(s.dataset for s in self._having(dataset, names)))

    def copy(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """The source with the lowest mean squared error on the training split."""
        gram = self._gram(case.dataset, sources, target)
        errors = np.diag(gram)[1:-1] - 2 * gram[1:-1, -1]  # each plus sum of target squared, the same for all
        return images[int(errors.argmin())]

    def mean_image(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """The mean of the target over the training slices, the same for every slice."""
        having = self._having(case.dataset, (target,))
        total = sum(s.total[s.modalities.index(target)] for s in having)
        mean = total / sum(s.slices for s in having)
        return np.broadcast_to(mean, images.shape[1:]).astype(np.float32)

    def regression(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """target = a + sum of b_s x_s, least squares over the training voxels inside the brain."""
        constant, *slopes = self.coefficients(case.dataset, sources, target)
        return (constant + np.tensordot(slopes, images, axes=1)).astype(np.float32)

    def coefficients(self, dataset: str, sources: tuple[str, ...], target: str) -> NDArray[np.float64]:
        """a, then b_s in the order of `sources`."""
        gram = self._gram(dataset, sources, target)
        solution = np.linalg.lstsq(gram[:-1, :-1], gram[:-1, -1], rcond=None)[0]  # two equal sources share a slope
        return solution.astype(np.float64)

    def methods(self, tasks: Iterable[Task]) -> dict[str, Method]:
        """Name to method, able to do those of `tasks` that some training case could teach."""
        able = [t for t in tasks if self._having("", (*t.sources, t.target))]
        names = frozenset(str(t) for t in able)
        functions = (self.copy, self.mean_image, self.regression)
        return {name: Method(f, self.digest, names) for name, f in zip(FLOORS, functions, strict=True)}

    def _gram(self, dataset: str, sources: tuple[str, ...], target: str) -> NDArray[np.float64]:
        names = (*sources, target)
        return np.sum([s.products(names) for s in self._having(dataset, names)], axis=0)

    def _having(self, dataset: str, names: Iterable[str]) -> list[Sums]:
        able = [s for s in self.sums if set(names) <= set(s.modalities)]
        return [s for s in able if s.dataset == dataset] or able


def fit_floors(store: Store, reporter: Reporter) -> Floors:
    """Gather the sums of the training split, slice by slice from the memory-mapped arrays."""
    groups: dict[tuple[str, tuple[str, ...]], Sums] = {}
    cases = [case for case in store.cases("train") if case.scored_slices().size]
    with reporter.progress("floors", len(cases)) as advance:
        for case in cases:
            key = (case.record.dataset, case.record.modalities)
            if key not in groups:
                count, matrix = len(key[1]), case.images().shape[-2:]
                groups[key] = Sums(*key, np.zeros((count + 1, count + 1)), np.zeros((count, *matrix)))
            groups[key].add(case)
            advance(case.record.case)
    return Floors(tuple(groups.values()), digest_of(cases))


def digest_of(cases: Iterable[PreparedCase]) -> str:
    """One digest for the arrays of some prepared cases."""
    lines = [f"{c.record.dataset}/{c.record.case} {sorted(c.record.arrays.items())}" for c in cases]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
