"""Similarity of findings: for every clause of one report the nearest clause of the other, both ways."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

import numpy as np

from pmmsynth.reading.bootstrap import estimate, mean_of
from pmmsynth.reading.clauses import clauses
from pmmsynth.reading.embed import Embedding, Vectors
from pmmsynth.reading.reports import ALL, Report, Study


@dataclass(frozen=True)
class Similarity:
    """Similarities of pairs of reports of the same case, over cases.

    Attributes:
        embedding: Name of the embedding.
        set: The set of images.
        readers: The reader compared with himself on the reference, or two readers compared, or `all`.
        n: Cases.
        mean: Over cases; for `all` over the readers or pairs of readers of a case first.
        std: Over cases (n - 1); NaN for a single one.
        low: Lower end of the 95 % bootstrap interval of the mean over cases.
        high: Upper end.
    """

    embedding: str
    set: str
    readers: str
    n: int
    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two reports of one case, and how similar their findings are."""

    readers: str
    one: Report
    other: Report
    similarity: float


class Measure:
    """One embedding of every clause in a study."""

    def __init__(self, study: Study, embedding: Embedding) -> None:
        texts = {report.findings: clauses(report.findings) for report in study.reports.values()}
        known = {clause: row for row, clause in enumerate(sorted({c for cs in texts.values() for c in cs}))}
        self._vectors = embedding(list(known)) if known else np.empty((0, 1))
        self._rows = {text: [known[c] for c in cs] for text, cs in texts.items()}

    def __call__(self, one: Report, other: Report) -> float | None:
        """Of the findings of two reports; None if either has none."""
        rows = self._rows[one.findings], self._rows[other.findings]
        return similarity(self._vectors[rows[0]], self._vectors[rows[1]]) if all(rows) else None


def similarity(one: Vectors, other: Vectors) -> float:
    """Of two reports: the mean of the best cosine over the clauses of each, averaged over both directions."""
    product = one @ other.T
    cosines = np.asarray(product if isinstance(product, np.ndarray) else product.toarray())
    return float(cosines.max(axis=1).mean() + cosines.max(axis=0).mean()) / 2


def to_reference(study: Study, measure: Measure, name: str) -> list[Pair]:
    """Every report of the set `name` with that of the same reader on the reference."""
    return _pairs(
        (reader, study.reports.get((reader, case, study.reference)), study.reports.get((reader, case, name)), measure)
        for case in study.cases
        for reader in study.readers
    )


def between_readers(study: Study, measure: Measure, name: str) -> list[Pair]:
    """The reports of every two readers on the set `name`."""
    return _pairs(
        (f"{one}, {other}", study.reports.get((one, case, name)), study.reports.get((other, case, name)), measure)
        for case in study.cases
        for one, other in combinations(study.readers, 2)
    )


def _pairs(candidates: Iterable[tuple[str, Report | None, Report | None, Measure]]) -> list[Pair]:
    found = []
    for readers, one, other, measure in candidates:
        if one and other and (value := measure(one, other)) is not None:
            found.append(Pair(readers, one, other, value))
    return found


def summarize(embedding: str, name: str, pairs: list[Pair]) -> list[Similarity]:
    """One row per reader or pair of readers, and one of all where there are several."""
    groups: dict[str, dict[str, list[float]]] = {}
    for pair in pairs:
        for readers in (pair.readers, ALL):
            groups.setdefault(readers, {}).setdefault(pair.one.case, []).append(pair.similarity)
    rows = []
    for readers in sorted(groups, key=lambda r: (r == ALL, r)):
        if readers == ALL and len(groups) == 2:
            continue
        values = np.array([fmean(of_case) for of_case in groups[readers].values()])
        found = estimate(mean_of(values), len(values))
        std = stdev(values.tolist()) if len(values) > 1 else float("nan")
        rows.append(Similarity(embedding, name, readers, found.n, found.value, std, found.low, found.high))
    return rows
