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
        ("Glioma, WHO grade II", {"low-grade glioma"}),
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


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Non-enhancing mass without restricted diffusion suggestive of low-grade glioma.", {"low-grade glioma"}),
        ("Mass with no restricted diffusion consistent with glioblastoma", {"glioblastoma"}),
        ("Mass without evidence of necrosis most likely lymphoma", {"lymphoma"}),
        ("Lesion lacking enhancement favours demyelination", {"demyelination"}),
        ("Meningioma without mass effect or haemorrhage in keeping with a stable meningioma", {"meningioma"}),
        ("Mass without haemorrhage compatible with lymphoma or metastasis", {"lymphoma", "metastasis"}),
        ("No evidence of glioma", set()),
        ("Glioma unlikely", set()),
        ("Glioma is unlikely", set()),
        ("Not suggestive of glioma", set()),
        ("Mass without enhancement not suggestive of lymphoma", set()),
        ("Mass without enhancement atypical for lymphoma and inconsistent with glioblastoma", set()),
        ("Findings are not consistent with glioblastoma", set()),
        ("Nothing suspicious for metastasis", set()),
        ("No findings suspicious for metastasis", set()),
        ("There is no enhancing lesion suspicious for metastasis", set()),
        ("No restricted diffusion suggestive of acute infarct", set()),
        ("No restricted diffusion to suggest acute infarct", set()),
        ("Meningioma without findings suspicious for metastasis", {"meningioma"}),
        ("Meningioma with no new lesions suspicious for metastasis", {"meningioma"}),
        ("Meningioma without evidence of disease suggestive of lymphoma", {"meningioma"}),
        ("Meningioma without evidence suggestive of lymphoma", {"meningioma"}),
        ("No intracranial abnormality suspicious for metastasis", {"normal"}),
        ("No acute abnormality, haemorrhage or infarct", {"normal"}),
        ("No lesion other than a meningioma", {"meningioma"}),
        ("No intracranial abnormality apart from a meningioma", {"meningioma"}),
    ],
)
def test_a_conclusion_ends_what_something_lacks(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Cortical lesion without enhancement, low-grade glioma or encephalitis.", {"low-grade glioma", "infection"}),
        ("Cortical lesion without mass effect, low-grade glioma or encephalitis.", {"low-grade glioma", "infection"}),
        ("Meningioma without haemorrhage, infarct or abscess", {"meningioma"}),
        ("Microangiopathy without oedema, haemorrhage or infarct", {"small vessel disease"}),
        ("No restricted diffusion, consistent with glioblastoma or metastasis", {"glioblastoma", "metastasis"}),
        ("No infarct, mass, most likely glioma or lymphoma", {"glioma", "lymphoma"}),
        ("No infarct, glioma or lesion suspicious for metastasis", set()),
        ("Brain without haemorrhage, infarct or abscess", set()),
        ("Brain without mass, haemorrhage or infarct", set()),
        ("No mass effect, haemorrhage or infarct", set()),
    ],
)
def test_lists_and_conclusions_after_a_comma(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Glioblastoma. Ventricles of normal width.", {"glioblastoma"}),
        ("Glioblastoma in the left temporal lobe; normal ventricles", {"glioblastoma"}),
        ("Glioblastoma. Normal flow voids", {"glioblastoma"}),
        ("Glioblastoma. Paranasal sinuses unremarkable", {"glioblastoma"}),
        ("Glioblastoma; the remaining brain is unremarkable", {"glioblastoma"}),
        ("Unremarkable apart from an old infarct", {"chronic infarct"}),
        ("Craniopharyngioma. Ventricles of normal width. Normal flow voids. Paranasal sinuses unremarkable", set()),
        ("Normal", {"normal"}),
        ("No haemorrhage, infarct or mass. Normal study.", {"normal"}),
        ("Not normal", set()),
    ],
)
def test_normal_counts_alone(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Glioma (WHO grade 4)", {"glioblastoma"}),
        ("Glioma [WHO grade 4], oedema", {"glioblastoma"}),
        ("Glioma, CNS WHO grade 4", {"glioblastoma"}),
        ("Glioma,CNS WHO grade 4", {"glioblastoma"}),
        ("Glioma，WHO grade 4", {"glioblastoma"}),
        ("Astrocytoma WHO grade 2", {"low-grade glioma"}),
        ("Astrocytoma, IDH-mutant, CNS WHO grade 3", {"high-grade glioma"}),
        ("Oligodendroglioma, IDH-mutant and 1p/19q-codeleted, CNS WHO grade 2", {"low-grade glioma"}),
        ("Oligodendroglioma (CNS WHO grade 3)", {"high-grade glioma"}),
        ("CNS WHO grade IV astrocytoma", {"glioblastoma"}),
        ("Oligodendroglioma, oedema", {"glioma"}),
        ("No glioma, WHO grade 4", set()),
        ("Meningioma (CNS WHO grade 2)", {"meningioma"}),
    ],
)
def test_grades(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Lymphoma has been ruled out", set()),
        ("Lymphoma and metastasis have been ruled out", set()),
        ("Glioblastoma; lymphoma, metastasis or abscess unlikely", {"glioblastoma", "lymphoma"}),
        ("Glioblastoma, lymphoma and/or metastasis are excluded", {"glioblastoma"}),
        ("Glioblastoma and, in the left lobe, metastasis excluded", {"glioblastoma"}),
        ("Metastases were ruled out, glioblastoma", {"glioblastoma"}),
        ("Lymphoma was excluded", set()),
        ("Metastases have been excluded", set()),
        ("Ruled out: lymphoma", set()),
        ("Lymphoma could not be ruled out", {"lymphoma"}),
        ("Metastases have not been ruled out", {"metastasis"}),
    ],
)
def test_what_was_ruled_out(text: str, labels: set[str]) -> None:
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = 3", "labels"),
        ("[labels]\n", "labels"),
        ("[labels]\na = ['x']\nb = ['X']\n", "'X' under b and label a"),
        ("[labels]\na = [' - ']\n", "an empty term of a"),
        ("[labels]\na = [' , ']\n", "an empty term of a"),
        ("alone = ['b']\n[labels]\na = []\n", "'b' under alone is no label"),
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


def test_conclusions_in_another_language(tmp_path: Path) -> None:
    """And without the file's words for it, what is lacked ends with the clause, and no label needs to stand alone."""
    path = tmp_path / "labels.toml"
    labels = "[labels]\nGliom = []\n'unauffällig' = ['regelrecht']\n[negation]\n"
    text = "Raumforderung ohne Diffusionsstörung vereinbar mit Gliom. Sinus regelrecht"
    path.write_text(f"{labels}lacks = ['ohne']\n", encoding="utf-8")
    assert Labels.read(path).find(text) == {"unauffällig"}
    path.write_text(f"{labels}lacks = ['ohne']\nconcludes = ['vereinbar mit']\n", encoding="utf-8")
    assert Labels.read(path).find(text) == {"Gliom", "unauffällig"}
    path.write_text(
        f"alone = ['unauffällig']\n{labels}lacks = ['ohne']\nconcludes = ['vereinbar mit']\n", encoding="utf-8"
    )
    assert Labels.read(path).find(text) == {"Gliom"}
    assert Labels.read(path).find("Regelrecht, ohne Gliom") == {"unauffällig"}


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


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Diffuse astrocytoma, WHO grade 3", "high-grade glioma"),
        ("High-grade glioma, WHO grade 4", "glioblastoma"),
        ("Astrocytoma, IDH-mutant, grade 4", "glioblastoma"),
        ("Oligodendroglioma (IDH-mutant, 1p/19q-codeleted), CNS WHO grade 3", "high-grade glioma"),
        ("Diffuse astrocytoma", "low-grade glioma"),
    ],
)
def test_the_grade_decides_where_it_is_given(text, label):
    assert Labels.read().find(text) == {label}
