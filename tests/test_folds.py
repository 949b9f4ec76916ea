"""Cross-validation: each training patient is held out once, with all its cases, and no model scores what it learned."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from phantoms import make_store
from pmmsynth.cli import main
from pmmsynth.errors import UsageError
from pmmsynth.store import RECORD, Fold, Store

TWO = ["T1", "FLAIR"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A: seven patients to train on; B: three of its own and one of A; C: a single one."""
    cohort = {
        "A": [*[("train", TWO)] * 7, ("val", TWO), ("test", TWO)],
        "B": [*[("train", TWO)] * 4, ("val", TWO), ("test", TWO)],
        "C": [("train", TWO), ("test", TWO)],
    }
    made = make_store(tmp_path / "store", cohort, slices=4)
    path = made.root / "B" / "case03" / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"subject": "A:case01"}))
    return made


def names(store: Store, split: str) -> list[str]:
    return [f"{case.record.dataset}{case.record.case[-1]}" for case in store.cases(split)]  # type: ignore[arg-type]


def test_the_held_out_patients_of_all_folds_are_the_training_patients(store: Store) -> None:
    folds = [replace(store, fold=Fold(number, 3)) for number in range(3)]
    assert [names(fold, "test") for fold in folds] == [
        ["A0", "A3", "A6", "B0"],
        ["A1", "A4", "B1", "B3"],  # B3 is A1
        ["A2", "A5", "B2"],
    ]
    for fold in folds:
        assert sorted(names(fold, "train") + names(fold, "test")) == names(store, "train")
        assert names(fold, "val") == names(store, "val")
        assert all(case.record.split == "test" for case in fold.cases("test"))


def test_true_test_cases_are_in_no_fold(store: Store) -> None:
    everything = {f"{case.record.dataset}{case.record.case[-1]}" for case in replace(store, fold=Fold(0, 2)).cases()}
    assert everything.isdisjoint(names(store, "test"))
    assert len(everything) == 14


def test_a_patient_is_held_out_whatever_datasets_are_taken(store: Store) -> None:
    assert names(Store(store.root, ("B",), Fold(1, 3)), "test") == ["B1", "B3"]


def test_a_single_patient_stays_in_training(store: Store) -> None:
    assert all("C0" in names(replace(store, fold=Fold(number, 2)), "train") for number in range(2))


@pytest.mark.parametrize("text", ["3/3", "0/1", "1", "a/3", "-1/3", "0/", "1/2/3"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected such as 0/3"):
        Fold.parse(text)
    assert Fold.parse("2/3") == Fold(2, 3)


@pytest.mark.parametrize("verb", [["train", "--preset", "tiny"], ["train", "--dry-run"], ["evaluate"]])
def test_a_fold_that_holds_out_nobody_is_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    last, beyond = replace(store, fold=Fold(6, 99)), [verb[0], str(store.root), *verb[1:], "--fold", "7/99"]
    assert names(last, "test") == ["A6"]
    assert main([*beyond, "--out", str(tmp_path / "out")]) == 2
    assert "found fold 7/99, which holds out none of 11 training patients; expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    single = make_store(tmp_path / "single", {"A": [("train", TWO), ("test", TWO)], "B": [("train", TWO)]}, slices=4)
    with pytest.raises(UsageError, match="holds out none of 2 training patients"):
        names(replace(single, fold=Fold(0, 2)), "train")


def test_a_model_is_scored_on_the_fold_it_did_not_learn_from(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = str(tmp_path / "run"), str(store.root)
    assert main(["train", folder, "--out", run, "--preset", "tiny", "--epochs", "1", "--fold", "0/3"]) == 0
    card = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert card["training"]["fold"] == "0/3"
    assert card["training"]["cases"] == {"A": 4, "B": 3, "C": 1}

    evaluate = ["evaluate", folder, "--model", run, "--tasks", "T1->FLAIR", "--quiet"]
    assert main([*evaluate, "--out", str(tmp_path / "held out"), "--fold", "0/3"]) == 0
    rows = map(json.loads, (tmp_path / "held out" / "scores.jsonl").read_text().splitlines())
    assert {(row["dataset"], row["case"]) for row in rows} == {
        ("A", "case00"),
        ("A", "case03"),
        ("A", "case06"),
        ("B", "case00"),
    }
    page = (tmp_path / "held out" / "index.html").read_text()
    assert "training patients held out as fold 0/3. Research only" in page
    capsys.readouterr()
    assert main([*evaluate, "--out", str(tmp_path / "seen"), "--fold", "1/3"]) == 2
    assert "found 4 of 4 cases among those PMM-Synth learned from, the first A/case01;" in capsys.readouterr().err
    assert main([*evaluate, "--out", str(tmp_path / "test")]) == 0  # no fold learned from the true test cases
    assert "test cases. Research only" in (tmp_path / "test" / "index.html").read_text()

    path = tmp_path / "run" / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"learned": None}))
    assert main([*evaluate, "--out", str(tmp_path / "silent"), "--fold", "0/3"]) == 2
    assert "does not say what it learned from; expected one that does for fold 0/3" in capsys.readouterr().err

    assert main(["train", folder, "--out", run, "--preset", "tiny", "--epochs", "1", "--fold", "2/3"]) == 2
    assert "a run on other cases" in capsys.readouterr().err
