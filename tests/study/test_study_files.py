"""A record of a study refuses what would mix people, items or places up."""

import json
from pathlib import Path
from typing import Any

import pytest

from pmmsynth.errors import BadInput
from pmmsynth.study.files import STUDY, read_study
from study_phantoms import make_study


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("readers", 0, "code"), "R2", "a code or token stands twice"),
        (("readers", 0, "code"), "organiser", "a reader is called organiser"),
        (("readers", 0, "token"), "ORGANISER'S", "a code or token stands twice"),
        (("readers", 0, "sittings", 0, 0, "id"), "item100", "an item stands twice"),
        (("readers", 0, "sittings", 0, 0, "images"), "../key", "must be letters"),
        (("sequences", 0), "../../../key/key", "must be letters"),
    ],
)
def test_a_record_that_mixes_things_up(tmp_path: Path, path: tuple[Any, ...], value: str, message: str) -> None:
    record = make_study(tmp_path / "study", tmp_path / "key")
    assert read_study(tmp_path / "study") == record
    whole = json.loads((tmp_path / "study" / STUDY).read_text())
    *places, last = path
    part = whole
    for place in places:
        part = part[place]
    part[last] = whole["organiser"] if value == "ORGANISER'S" else value
    (tmp_path / "study" / STUDY).write_text(json.dumps(whole))
    with pytest.raises(BadInput, match=message):
        read_study(tmp_path / "study")
