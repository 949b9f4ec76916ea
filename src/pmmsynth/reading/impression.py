"""How well the labels of one set of impressions agree with those of the reference, and readers with each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pmmsynth.reading.agreement import kappa
from pmmsynth.reading.bootstrap import Array, Estimate, estimate, ratio
from pmmsynth.reading.labels import MACRO, MICRO, Labels
from pmmsynth.reading.reports import ALL, Report, Study


@dataclass(frozen=True)
class LabelScore:
    """How the impressions of a set agree with the reference on one label, or on all (`macro`, `micro`).

    Attributes:
        set: The set of images.
        reader: A reader, or `all`: the counts of all readers together.
        label: The label; `macro`: the mean over labels the reference has; `micro`: of the sums over all labels.
        tp: Reports with the label in both.
        fp: In the set alone.
        fn: In the reference alone.
        precision: NaN where nothing was to divide; as 0 in the mean over labels.
        recall: NaN for labels the reference does not have.
        f1: The same, with its interval over cases.
        unlabelled: Impressions without any label among those compared, of the set and of the reference.
    """

    set: str
    reader: str
    label: str
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: Estimate
    unlabelled: int


def found_labels(study: Study, labels: Labels) -> dict[Report, set[str] | None]:
    """The labels of every report; None for an empty impression."""
    return {r: labels.find(r.impression) if r.impression else None for r in study.reports.values()}


def label_scores(
    study: Study,
    found: dict[Report, set[str] | None],
    names: Sequence[str],
    name: str,
    readers: Sequence[str],
    who: str,
) -> list[LabelScore]:
    """Rows of the labels that occur, then `macro` and `micro`: the set `name` against the same readers' reference."""
    counts: dict[str, Array] = {}
    unlabelled = 0
    for case in study.cases:
        for reader in readers:
            reports = [study.reports.get((reader, case, s)) for s in (study.reference, name)]
            truth, given = (found[r] if r else None for r in reports)
            if truth is not None and given is not None:
                row = [(n in truth and n in given, n in given - truth, n in truth - given) for n in names]
                counts[case] = counts.get(case, 0) + np.array(row, dtype=np.float64)
                unlabelled += [truth, given].count(set())
    if not counts or not names:
        return []
    stacked = np.array(list(counts.values()))  # case, label, (tp, fp, fn)
    parts = {label: stacked[:, [i]] for i, label in enumerate(names) if stacked[:, i].any()}
    parts |= {MACRO: stacked, MICRO: stacked.sum(axis=1, keepdims=True)}
    return [_row(name, who, label, part, unlabelled) for label, part in parts.items()]


def _row(name: str, who: str, label: str, counts: Array, unlabelled: int) -> LabelScore:
    """One row; `macro` averages over the labels of `counts`, any other has one label."""

    def averaged(weights: Array, figure: int = 2) -> Array:
        """Precision, recall or F1 (0, 1, 2): the mean over labels the reference has; a precision of 0 / 0 is 0."""
        tp, fp, fn = np.moveaxis(np.tensordot(weights, counts, axes=1), 2, 0)  # each: resample, label
        divisor = (tp + fp, tp + fn, tp + (fp + fn) / 2)[figure]
        present = tp + fn > 0
        return ratio((ratio(tp, divisor, 0.0) * present).sum(axis=1), present.sum(axis=1).astype(np.float64))

    once = np.ones((1, len(counts)))
    precision, recall = (float(averaged(once, figure)[0]) for figure in (0, 1))
    tp, fp, fn = counts.sum(axis=(0, 1)).astype(int).tolist()
    if label != MACRO:
        precision = tp / (tp + fp) if tp + fp else float("nan")
    return LabelScore(name, who, label, tp, fp, fn, precision, recall, estimate(averaged, len(counts)), unlabelled)


@dataclass(frozen=True)
class LabelAgreement:
    """Kappa of the readers on one label, or on all labels together, in one set."""

    set: str
    label: str
    kappa: Estimate


def label_agreement(
    study: Study, found: dict[Report, set[str] | None], names: Sequence[str], name: str
) -> list[LabelAgreement]:
    """Of the cases of which all readers of the set wrote an impression: the labels that have a kappa, then `all`."""
    readers = [r for r in study.readers if any((r, case, name) in study.reports for case in study.cases)]
    ratings = []
    for case in study.cases:
        reports = [study.reports.get((reader, case, name)) for reader in readers]
        given = [found[r] if r else None for r in reports]
        if all(g is not None for g in given):
            ratings.append([[label in (g or ()) for g in given] for label in names])
    if len(readers) < 2 or not ratings or not names:
        return []
    array = np.array(ratings, dtype=bool)
    rows = [LabelAgreement(name, label, kappa(array[:, [i]])) for i, label in enumerate(names)]
    return [*(row for row in rows if not np.isnan(row.kappa.value)), LabelAgreement(name, ALL, kappa(array))]
