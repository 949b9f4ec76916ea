"""What can be chosen, and that the labels of `reading score` are found in what becomes of it."""

import pytest

from pmmsynth.errors import BadInput
from pmmsynth.reading.labels import Labels
from pmmsynth.study.form import Form, impression

LABELS = Labels.read()


@pytest.mark.parametrize("kind", Form().types)
def test_default_types_are_labels(kind):
    wanted = set() if kind == "other" else {kind}
    assert LABELS.find(impression(kind, "not applicable", "")) == wanted
    assert LABELS.find(impression(kind, "", "No mass effect.")) == wanted


@pytest.mark.parametrize(
    ("grade", "label"),
    [
        ("not applicable", "glioma"),
        ("WHO grade 1", "low-grade glioma"),
        ("WHO grade 2", "low-grade glioma"),
        ("WHO grade 3", "high-grade glioma"),
        ("WHO grade 4", "glioblastoma"),
    ],
)
def test_grades_of_gliomas_are_labels(grade, label):
    assert grade in Form().grades
    assert LABELS.find(impression("glioma", grade, "")) == {label}
    assert LABELS.find(impression("meningioma", grade, "")) == {"meningioma"}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            ("glioma", "WHO grade 4", " Left frontal.\nRule out lymphoma. "),
            "glioma WHO grade 4; Left frontal.\nRule out lymphoma.",
        ),
        (("glioma", "not applicable", ""), "glioma"),
        (("", "", "Lymphoma"), "Lymphoma"),
        (("", "WHO grade 2", ""), "WHO grade 2"),
        (("", "", ""), ""),
    ],
)
def test_impression(parts, text):
    assert impression(*parts) == text


def test_a_form_from_a_file(tmp_path):
    path = tmp_path / "form.toml"
    path.write_text('types = ["Gliom", "Infarkt"]\n', encoding="utf-8")
    assert Form.read(path) == Form(types=("Gliom", "Infarkt"), grades=Form().grades)


@pytest.mark.parametrize("text", ["types = []", 'types = [""]', 'kinds = ["a"]', "types = ", "types = 3"])
def test_a_form_that_is_none(tmp_path, text):
    path = tmp_path / "form.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"form\.toml"):
        Form.read(path)
