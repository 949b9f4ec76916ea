"""Scores of labels that follow from counts by hand."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from pmmsynth.reading.impression import found_labels, label_agreement, label_scores
from pmmsynth.reading.labels import Labels
from pmmsynth.reading.reports import Report, Study

LABELS = Labels.read()


def impressions(*rows: tuple[str, str, str, str]) -> Study:
    """Of (reader, case, set, impression)."""
    return Study({row[:3]: Report(*row[:3], "", row[3]) for row in rows}, "real")


TRUTH = ["glioma", "glioma", "glioma", "meningioma", "meningioma", "lymphoma", "", "glioma"]
GIVEN = ["glioma", "glioma", "meningioma", "meningioma", "glioma, meningioma", "haemorrhage", "glioma", ""]
STUDY = impressions(
    *(
        ("A", str(i), s, t)
        for i, pair in enumerate(zip(TRUTH, GIVEN, strict=True))
        for s, t in zip(("real", "3-to-3"), pair, strict=True)
    )
)


def test_scores_by_hand() -> None:
    """Cases 7 and 8 have an empty impression and are left out. Haemorrhage is absent from the reference."""
    rows = label_scores(STUDY, found_labels(STUDY, LABELS), LABELS.names, "3-to-3", ["A"], "all")
    table = {r.label: (r.tp, r.fp, r.fn, r.precision, r.recall, r.f1.value) for r in rows}
    nan = float("nan")
    expected = {
        "glioma": (2, 1, 1, 2 / 3, 2 / 3, 2 / 3),
        "meningioma": (2, 1, 0, 2 / 3, 1, 4 / 5),
        "lymphoma": (0, 0, 1, nan, 0, 0),
        "haemorrhage": (0, 1, 0, 0, nan, nan),
        "macro": (4, 3, 2, 4 / 9, 5 / 9, 22 / 45),
        "micro": (4, 3, 2, 4 / 7, 2 / 3, 8 / 13),
    }
    assert set(table) == set(expected)
    for label, figures in expected.items():
        assert table[label] == pytest.approx(figures, nan_ok=True), label
    assert all((r.f1.n, r.unlabelled) == (6, 0) for r in rows)
    assert rows[-1].f1.low < rows[-1].f1.value < rows[-1].f1.high


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_scores_are_those_of_scikit_learn(average: str) -> None:
    """On labels that the reference has all of."""
    rng = np.random.default_rng(1)
    names = ["glioma", "meningioma", "lymphoma", "haemorrhage"]
    truth, given = rng.random((2, 30, 4)) < 0.5
    truth[0] = given[0] = True  # no empty impressions there
    rows = []
    for case in range(30):
        for name, labels in (("real", truth), ("1-to-5", given)):
            text = "; ".join(n for n, has in zip(names, labels[case], strict=True) if has) or "nothing listed"
            rows.append(("A", str(case), name, text))
    study = impressions(*rows)
    scores = label_scores(study, found_labels(study, LABELS), LABELS.names, "1-to-5", ["A"], "all")
    (row,) = (r for r in scores if r.label == average)
    assert row.unlabelled == (~truth.any(1)).sum() + (~given.any(1)).sum() == 7
    theirs = precision_recall_fscore_support(truth, given, average=average)[:3]
    assert (row.precision, row.recall, row.f1.value) == pytest.approx(theirs)


def test_agreement_needs_all_readers() -> None:
    study = impressions(
        ("A", "1", "real", "glioma"),
        ("B", "1", "real", "glioma"),
        ("A", "2", "real", "lymphoma"),
        ("B", "2", "real", ""),
        ("A", "3", "real", "lymphoma"),
        ("B", "3", "real", "lymphoma"),
        ("C", "1", "3-to-3", "glioma"),
    )
    rows = label_agreement(study, found_labels(study, LABELS), ["glioma", "lymphoma"], "real")
    assert [(r.label, r.kappa.n, r.kappa.value) for r in rows] == [("glioma", 2, 1), ("lymphoma", 2, 1), ("all", 2, 1)]
