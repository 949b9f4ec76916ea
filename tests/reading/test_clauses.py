"""Reports are cut where a clause ends, never within a number."""

import pytest

from pmmsynth.reading.clauses import clauses


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Mass of 3.5 cm, no shift.", ["Mass of 3.5 cm", "no shift"]),
        ("Tumor 1,5 x 2,0 cm;kein Shift", ["Tumor 1,5 x 2,0 cm", "kein Shift"]),
        ("Seen in slices 3, 4.Next", ["Seen in slices 3", "Next"]),
        ("Oedema, e.g. vasogenic. Shift", ["Oedema", "e.g. vasogenic", "Shift"]),
        ("Glioma of grade I. No shift", ["Glioma of grade I", "No shift"]),
        ("1. Infarct\n2. Old  lacune\n", ["Infarct", "Old lacune"]),
        ("左侧颞叶肿块，无中线移位。", ["左侧颞叶肿块", "无中线移位"]),
        (" ... , ; 3.5", []),
        ("", []),
    ],
)
def test_cuts(text: str, pieces: list[str]) -> None:
    assert clauses(text) == pieces
