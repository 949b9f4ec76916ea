"""A store refuses what a run of `prepare` leaves that was stopped while it relabelled the cases."""

import json
from pathlib import Path

import pytest

from phantoms import COHORT, make_store
from pmmsynth.errors import BadInput
from pmmsynth.store import RECORD, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", COHORT, slices=2)


def relabel(store: Store, case: str, **labels: str) -> None:
    path = store.root / case / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | labels))


@pytest.mark.parametrize("other", ["A/case00", "B/case00"])
def test_a_patient_in_two_splits_is_refused(store: Store, other: str) -> None:
    relabel(store, "B/case02", subject=other.replace("/", ":"))
    line = rf"patient {other.replace('/', ':')} in splits train and test; expected one .*; run pmmsynth prepare again"
    with pytest.raises(BadInput, match=line):
        next(store.cases("train", "A"))


def test_a_patient_may_have_several_cases_in_one_split(store: Store) -> None:
    relabel(store, "B/case00", subject="A:case00")
    assert [case.record.subject for case in store.cases("train")] == ["A:case00", "A:case01", "A:case00", "B:case01"]


def test_a_sequence_that_is_withheld_now_is_refused_in_training_cases_alone(store: Store) -> None:
    table = json.loads((store.root / "store.json").read_text())
    table["datasets"][1]["modalities"] = ["T1", "FLAIR"]
    (store.root / "store.json").write_text(json.dumps(table))
    with pytest.raises(
        BadInput, match=r"case01.case.json: a training case with ADC; expected T1, FLAIR, as store.json"
    ):
        list(Store(store.root).cases())
    relabel(store, "B/case01", split="test")
    assert len(list(Store(store.root).cases())) == 6
