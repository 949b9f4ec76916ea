"""Labels found in impressions."""

import time

import pytest

from pmmsynth.reading.labels import Labels
from pmmsynth.study.form import impression

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


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Can’t exclude metastasis", {"metastasis"}),  # as word processors write it
        ("glio\u00adblastoma", {"glioblastoma"}),
        ("low\u2212grade glioma, low\u2014grade glioma", {"low-grade glioma"}),
        ("No glioma! Metastasis", {"metastasis"}),
        ("No glioma…\rMetastasis", {"metastasis"}),
        ("No acute infarct – chronic small vessel disease", {"small vessel disease"}),
        ("Non-enhancing lesion without mass effect - low-grade glioma", {"low-grade glioma"}),
        ("Lesion without enhancement: low-grade glioma", {"low-grade glioma"}),
        ("- No haemorrhage\n- Glioma - WHO grade 4", {"glioblastoma"}),
        ("Negative for: infarct, haemorrhage or metastasis", set()),
        ("Lymphoma - unlikely", set()),
        ("Glioblastoma, lymphoma, unlikely", {"glioblastoma"}),
        ("Metastases: none. Haemorrhage: no, infarct: acute infarct", {"acute infarct"}),
        ("Infarct - negative", set()),
    ],
)
def test_dashes_colons_and_apostrophes(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Meningioma with absent oedema", {"meningioma"}),
        ("Low-grade glioma with absent enhancement", {"low-grade glioma"}),
        ("Mass with absent enhancement, favouring low-grade glioma", {"low-grade glioma"}),
        ("Absent haemorrhage", set()),
        ("Haemorrhage absent, acute infarct", {"acute infarct"}),
        ("Glioblastoma unlikely to represent abscess", {"glioblastoma"}),
        ("Mass most likely glioblastoma and unlikely lymphoma", {"glioblastoma"}),
        ("Unlikely metastasis", set()),
        ("This is unlikely to be a metastasis", set()),
        ("Metastasis unlikely given the solitary lesion", set()),
        ("Metastases not identified", set()),
        ("Infarct is not demonstrated; haemorrhage was not detected", set()),
        ("Haemorrhage is not evident on any sequence", set()),
        ("The metastasis is no longer visible", set()),
        ("Nil haemorrhage. Free from metastasis", set()),
        ("This argues against lymphoma", set()),
        ("Acute infarct against a background of small vessel disease", {"acute infarct", "small vessel disease"}),
        ("Treated glioma or not", {"glioma"}),
        ("We could not identify a metastasis", set()),
    ],
)
def test_what_is_absent_or_unlikely(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize("adverb", ["", "reliably ", "safely ", "absolutely ", "confidently "])
@pytest.mark.parametrize(
    "text",
    [
        "Metastasis cannot be {}excluded",
        "Metastasis cannot {}be ruled out",
        "Cannot {}exclude metastasis",
        "Unable to {}exclude metastasis",
        "It is difficult to {}rule out metastasis",
        "It is not possible to {}exclude a metastasis",
        "This does not {}exclude metastasis",
        "Metastasis can neither be {}confirmed nor excluded",
        "Metastasis needs to be {}excluded",
    ],
)
def test_what_cannot_be_excluded_stays(text: str, adverb: str) -> None:
    assert LABELS.find(text.format(adverb)) == {"metastasis"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Without doubt glioblastoma. No doubt a glioblastoma", {"glioblastoma"}),
        ("No significant interval change in the meningioma", {"meningioma"}),
        ("It is not clear whether this is glioma or lymphoma", {"glioma", "lymphoma"}),
        ("It is not possible to distinguish glioma from lymphoma", {"glioma", "lymphoma"}),
    ],
)
def test_a_no_that_is_none(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


@pytest.mark.parametrize(
    ("label", "texts"),
    [
        ("acute infarct", "Subacute infarcts. Acute left MCA infarct. Acute ischaemic stroke. Acute infarctions"),
        ("chronic infarct", "Old infarcts. Chronic lacunar infarct. Old strokes. Chronic ischemic strokes"),
        ("infarct", "CVAs. Strokes. Ischaemia. Left MCA territory infarction"),
        ("glioblastoma", "GBMs. Glioma WHO IV. Glioblastoma, IDH-wildtype, CNS WHO grade 4"),
        (
            "high-grade glioma",
            "Anaplastic oligodendroglioma. Glioma WHO III. Grade 3/4 glioma. High-grade glial neoplasm",
        ),
        ("glioma", "Glial neoplasms. Glial tumors"),
        ("vascular malformation", "AVMs. Aneurysms. Cavernomas. Arteriovenous malformations. Cavernous hemangioma"),
        ("haemorrhage", "Haematomas. SDH. Hemorrhages"),
        ("metastasis", "Metastatic deposits. Metastatic tumors"),
        ("small vessel disease", "Chronic small vessel ischaemic disease. Microvascular ischemic changes"),
        ("demyelination", "Demyelinating plaque. Demyelinating lesions"),
    ],
)
def test_everyday_terms_and_plurals(label: str, texts: str) -> None:
    assert {text: LABELS.find(text) for text in texts.split(". ")} == {text: {label} for text in texts.split(". ")}


def test_both_kinds_of_infarct() -> None:
    assert LABELS.find("Acute and chronic infarcts") == {"acute infarct", "chronic infarct"}


@pytest.mark.parametrize(
    ("type_and_grade", "words", "labels"),
    [
        (("glioma", "WHO grade 4"), "Necrotic glioma.", {"glioblastoma"}),
        (("glioma", "WHO grade 4"), "High-grade glioma with necrosis.", {"glioblastoma"}),
        (("glioma", "WHO grade 3"), "Oligodendroglioma.", {"high-grade glioma"}),
        (("glioma", "not applicable"), "GBM", {"glioblastoma"}),
        (("acute infarct", "not applicable"), "Left MCA infarct.", {"acute infarct"}),
        (("other", "not applicable"), "Rare tumour. The remaining brain is unremarkable.", set()),
        (("normal", "not applicable"), "", {"normal"}),
    ],
)
def test_the_form_and_its_words_are_one_diagnosis(
    type_and_grade: tuple[str, str], words: str, labels: set[str]
) -> None:
    assert LABELS.find(impression(*type_and_grade, words)) == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Ependymoma. No acute intracranial abnormality", set()),
        ("Colloid cyst, the remaining brain is unremarkable", set()),
        ("No ependymoma. Normal study", {"normal"}),
    ],
)
def test_normal_is_not_all_beside_a_diagnosis_without_a_label(text: str, labels: set[str]) -> None:
    assert LABELS.find(text) == labels


def test_a_text_of_commas_is_read_in_time() -> None:
    """Which takes 0.2 s; over a minute if every comma looked at all that follow."""
    before = time.process_time()
    assert LABELS.find("No infarct" + ", a" * 6000) == set()
    assert time.process_time() - before < 10
