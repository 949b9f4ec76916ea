"""Labels in impressions, and scores that follow from counts by hand."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from pmmsynth.errors import BadInput
from pmmsynth.reading.impression import Labels, found_labels, label_agreement, label_scores
from pmmsynth.reading.reports import Report, Study

LABELS = Labels.read()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Glioblastoma", {"glioblastoma"}),
        ("GBM, differential: metastases.", {"glioblastoma", "metastasis"}),
        ("High grade glioma", {"high-grade glioma"}),
        ("HIGH-GRADE\nGLIOMA", {"glioma"}),  # a line ends a sentence
        ("low-grade  glioma", {"low-grade glioma"}),
        ("Glioma, WHO grade II", {"glioma"}),
        ("Glioma WHO grade II", {"low-grade glioma"}),
        ("Meningioma WHO grade 2", {"meningioma"}),
        ("Acute infarct; old infarct", {"acute infarct", "chronic infarct"}),
        ("Lymphoma or abscess", {"lymphoma", "infection"}),
        ("Multiple sclerosis", {"demyelination"}),
        ("systems normal", {"normal"}),
        ("gliomatous change, paramsn", set()),
        ("No haemorrhage", set()),
        ("No haemorrhage, infarct or mass. Meningioma", {"meningioma"}),
        ("No haemorrhage, acute infarct", {"acute infarct"}),
        ("No haemorrhage, glioblastoma of the left frontal or temporal lobe", {"glioblastoma"}),
        ("No haemorrhage, metastasis in the left frontal or temporal lobe, no infarct", {"metastasis"}),
        ("No haemorrhage, extra-axial collection, large territorial infarct, or abscess", set()),
        ("No haemorrhage, chronic ischaemic white matter change, infarct nor abscess", set()),
        ("No haemorrhage, infarct or mass, glioblastoma of the left frontal or temporal lobe", {"glioblastoma"}),
        ("No metastasis but meningioma", {"meningioma"}),
        ("Meningioma without haemorrhage", {"meningioma"}),
        ("Rule out lymphoma. Glioblastoma", {"glioblastoma"}),
        ("Glioblastoma; metastasis is excluded", {"glioblastoma"}),
        ("Metastasis has been excluded", set()),
        ("Metastasis cannot be excluded", {"metastasis"}),
        ("Metastasis could not be excluded", {"metastasis"}),
        ("Metastasis has not been excluded", {"metastasis"}),
        ("Metastasis has not yet been ruled out", {"metastasis"}),
        ("Metastasis can't be ruled out", {"metastasis"}),
        ("Metastasis cannot be entirely excluded", {"metastasis"}),
        ("Metastasis is not completely excluded", {"metastasis"}),
        ("Metastasis has not been definitely ruled out", {"metastasis"}),
        ("Metastasis can not be fully excluded", {"metastasis"}),
        ("We cannot definitively exclude metastasis", {"metastasis"}),
        ("Glioma rather than lymphoma", {"glioma"}),
        ("Infarct. No infarct elsewhere", {"infarct"}),
        ("No acute intracranial abnormality", {"normal"}),
        ("Normal pressure hydrocephalus", {"hydrocephalus"}),
        ("", set()),
    ],
)
def test_labels_found(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


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
    assert all(r.f1.n == 6 for r in rows)
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = 3", "labels"),
        ("[labels]\n", "labels"),
        ("[labels]\na = ['x']\nb = ['X']\n", "'X' under b and label a"),
        ("[labels]\na = [' - ']\n", "an empty term of a"),
        ("[labels]\na = []\n[negations]\n", "negations"),
        ("[labels]\na = []\n[negation]\njoins = [' _ ']\n", "negation.joins.0"),
        *((f"[labels]\na = []\n{total} = []\n", f"a label called {total},") for total in ("all", "macro", "micro")),
        ("[labels\n", "line 1"),
    ],
)
def test_bad_label_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        Labels.read(path)
    with pytest.raises(BadInput, match="No such file"):
        Labels.read(tmp_path / "none.toml")


def test_own_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_text("[labels]\nGliom = ['hirneigener Tumor']\n[negation]\nbefore = ['kein']\n", encoding="utf-8")
    labels = Labels.read(path)
    assert labels.find("Hirneigener-Tumor.") == {"Gliom"}
    assert labels.find("Kein Gliom") == set()


def test_lists_in_another_language(tmp_path: Path) -> None:
    """Negation goes over the commas of a list that ends with one of the file's own words."""
    path = tmp_path / "labels.toml"
    terms = "Blutung = []\nInfarkt = []\nMetastase = ['Metastasen']"
    text = f"[labels]\n{terms}\n[negation]\nbefore = ['kein Hinweis auf', 'weder']\n"
    path.write_text(f"{text}joins = ['oder', 'noch']\n", encoding="utf-8")
    german = Labels.read(path)
    assert german.find("Kein Hinweis auf Blutung, Infarkt oder Metastasen.") == set()
    assert german.find("Weder Blutung, Infarkt noch Metastasen.") == set()
    assert german.find("Kein Hinweis auf Blutung, Infarkt") == {"Infarkt"}
    path.write_text(f"{text}joins = []\n", encoding="utf-8")
    assert Labels.read(path).find("Kein Hinweis auf Blutung, Infarkt oder Metastasen.") == {"Infarkt", "Metastase"}
    path.write_text(text, encoding="utf-8")
    assert Labels.read(path).find("Kein Hinweis auf Blutung, Infarkt or Metastasen.") == set()
