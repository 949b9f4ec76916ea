"""The trivial floors every method must beat: copy of the best source, dataset mean image, linear regression."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from pmmsynth.console import Reporter
from pmmsynth.evaluate.method import Method, Stack
from pmmsynth.linear import LeastSquares, fit_least_squares
from pmmsynth.modality import Task
from pmmsynth.store import CaseRecord, PreparedCase, Store

COPY, MEAN, REGRESSION = FLOORS = ("copy", "mean image", "regression")


@dataclass(frozen=True)
class Floors:
    """The floors, each a `Synthesize`; fitted when first needed.

    Attributes:
        fit: Reads the training cases.
        digest: Of those.
        taught: The modalities some training case has together.
    """

    fit: Callable[[], LeastSquares]
    digest: str
    taught: frozenset[tuple[str, ...]] = frozenset()

    @cached_property
    def fits(self) -> LeastSquares:
        """What `fit` found, once."""
        return self.fit()

    def begin(self) -> None:
        """Fit now, here, so that other processes are sent the fits."""
        self.fits  # noqa: B018

    def copy(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """The source with the lowest mean squared error on the training split."""
        gram = self.fits.gram(case.dataset, (*sources, target))
        errors = np.diag(gram)[1:-1] - 2 * gram[1:-1, -1]  # each plus sum of target squared, the same for all
        return images[int(errors.argmin())]

    def mean_image(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """The mean of the target over the training slices, the same for every slice."""
        having = self.fits.having(case.dataset, (target,))
        total = sum(s.total[s.modalities.index(target)] for s in having)
        mean = total / sum(s.slices for s in having)
        return np.broadcast_to(mean, images.shape[1:]).astype(np.float32)

    def regression(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """target = a + sum of b_s x_s, least squares over the training voxels inside the brain."""
        constant, *slopes = self.fits.coefficients(case.dataset, sources, target)
        return (constant + np.tensordot(slopes, images, axes=1)).astype(np.float32)

    def methods(self, wanted: Iterable[Task], datasets: Iterable[str]) -> dict[str, Method]:
        """Name to method, able to do those of `wanted` that some training case could teach."""
        able = [t for t in wanted if any({*t.sources, t.target} <= {*names} for names in self.taught)]
        names = frozenset(str(t) for t in able)
        tasks = dict.fromkeys(datasets, names)
        functions = (self.copy, self.mean_image, self.regression)
        return {
            name: Method(f, self.digest, tasks, begin=self.begin) for name, f in zip(FLOORS, functions, strict=True)
        }


def fit_floors(store: Store, reporter: Reporter) -> Floors:
    """Of the training split; memory does not grow with the cohort."""
    cases = [case for case in store.cases("train") if case.scored_slices().size]
    taught = frozenset(case.record.modalities for case in cases)
    return Floors(partial(fit_least_squares, cases, reporter), digest_of(cases), taught)


def digest_of(cases: Iterable[PreparedCase]) -> str:
    """One digest for the arrays of some prepared cases and what they are for."""
    records = [case.record for case in cases]
    lines = [f"{r.dataset}/{r.case} {r.split} {sorted(r.arrays.items())}" for r in records]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
