"""Files of labels: what is refused, and other languages."""

from pathlib import Path

import pytest

from pmmsynth.errors import BadInput
from pmmsynth.reading.labels import Labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = 3", "labels"),
        ("[labels]\n", "labels"),
        ("[labels]\na = ['x']\nb = ['X']\n", "'X' under b and label a"),
        ("[labels]\na = [' - ']\n", "an empty term of a"),
        ("[labels]\na = [' , ']\n", "an empty term of a"),
        ("alone = ['b']\n[labels]\na = []\n", "'b' under alone is no label"),
        ("[labels]\na = []\n[general]\na = ['b']\n", "'b' under general is no label"),
        ("skipped = [' - ']\n[labels]\na = []\n", "an empty word under skipped or spelling"),
        ("[labels]\na = []\n[spelling]\nb = ['x']\nc = ['X']\n", "'X' under c and b"),
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


def test_spelling_and_general_labels_of_an_own_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    labels = "[labels]\nGliom = ['hirneigener Tumor']\nGlioblastom = []\n[general]\nGliom = ['Glioblastom']\n"
    path.write_text(f"plural = 'e'\nskipped = ['eher']\n{labels}[spelling]\nTumor = ['Neoplasie']\n", encoding="utf-8")
    own = Labels.read(path)
    assert own.find("Hirneigener eher Tumor") == own.find("hirneigener Neoplasie") == own.find("Gliome") == {"Gliom"}
    assert own.find("Gliom; Glioblastom") == {"Glioblastom"}
