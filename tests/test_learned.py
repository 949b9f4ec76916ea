"""A model is not scored on what it learned from, whatever store, split or fold that was in."""

import json
from pathlib import Path

import pytest

from model_phantoms import make_model
from phantoms import COHORT, inputs_of, make_store
from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate import Method, score
from pmmsynth.infer import Synthesizer
from pmmsynth.learned import DIGITS, check_unknown, knows, learned_from, together
from pmmsynth.store import IMAGES, RECORD, Store, read_case, verify_cases
from pmmsynth.train.config import tiny
from pmmsynth.train.run import training_card

QUIET = Reporter(quiet=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", COHORT, slices=4)


def change(store: Store, dataset: str, case: str, **changes: object) -> None:
    path = store.root / dataset / case / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_card_names_the_images_of_training_and_validation(store: Store) -> None:
    learned = training_card(store, tiny().resolved()).learned
    assert learned is not None
    wanted = {"train": [("A", "case00"), ("A", "case01"), ("B", "case00"), ("B", "case01")], "val": [("A", "case02")]}
    for split, cases in wanted.items():
        records = [read_case(store.root / dataset / case).record for dataset, case in cases]
        digests = [d[:DIGITS] for r in records for d in inputs_of(r.dataset, r.case, r.modalities).values()]
        assert sorted(learned[split]) == sorted(digests)  # type: ignore[index]
    assert set(learned) == {"train", "val"}


def test_another_store_of_the_same_patients_is_known(store: Store, tmp_path: Path) -> None:
    """There a training case is a test case, under another name, with one of its sequences only."""
    learned = learned_from(store.cases("train"))
    other = make_store(tmp_path / "other", {"X": [("test", ["T1"]), ("test", ["T1"])]}, slices=4)
    check_unknown("it", learned, list(other.cases()), QUIET)
    change(other, "X", "case01", inputs={**inputs_of("A", "case01", ["T1"]), "lesion": "0" * 64})
    with pytest.raises(UsageError, match=r"found 1 of 2 cases among those it learned from, the first X/case01;"):
        check_unknown("it", learned, list(other.cases()), QUIET)


@pytest.mark.parametrize(
    ("was", "now", "refused"),
    [
        ("train", "test", True),
        ("train", "val", True),
        ("train", "train", False),  # asked for as such
        ("val", "test", True),
        ("val", "val", False),
        ("val", "train", False),
    ],
)
def test_what_a_case_must_not_have_been(store: Store, was: str, now: str, refused: bool) -> None:
    case = next(store.cases("test"))
    learned = {was: [digest[:DIGITS] for digest in case.record.inputs.values()]}
    change(store, "B", "case02", split=now)
    case = read_case(case.folder)
    if refused:
        with pytest.raises(UsageError, match="found 1 of 1 cases"):
            check_unknown("it", learned, [case], QUIET)  # type: ignore[arg-type]
    else:
        check_unknown("it", learned, [case], QUIET)  # type: ignore[arg-type]


def test_one_empty_mask_of_two_patients_is_no_image(store: Store) -> None:
    for name in ("case00", "case02"):
        known = read_case(store.root / "B" / name).record
        change(store, "B", name, inputs={**known.inputs, "lesion": "e" * 64})
    assert not knows(learned_from(store.cases("train")), read_case(store.root / "B" / "case02").record, ["train"])


def test_several_models_learned_from_what_each_did() -> None:
    parts = {"train": ["a"], "val": ["b"]}, {"train": ["c", "a"]}
    assert together(parts) == {"train": ("a", "c"), "val": ("b",)}  # type: ignore[arg-type]
    assert together([{}, None]) is None


def test_a_model_that_does_not_say_is_warned_of(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    check_unknown("old", None, list(store.cases("test")), Reporter())
    assert "old does not say what it learned from" in capsys.readouterr().err


def test_nothing_is_scored_of_a_known_case(store: Store, tmp_path: Path) -> None:
    learned = learned_from([*store.cases("train"), *store.cases("val")])
    folder = make_model(tmp_path / "model", matrix=32, learned=learned)
    methods = {"PMM-Synth": Method.of([Synthesizer.load(folder)], [folder], store)}
    change(store, "A", "case02", split="test")
    with pytest.raises(UsageError, match="among those PMM-Synth learned from, the first A/case02;"):
        score(store, methods, out=tmp_path / "scores.jsonl", tasks=["T1->FLAIR"], reporter=QUIET)
    assert not (tmp_path / "scores.jsonl").exists()
    change(store, "A", "case02", split="val")
    assert score(store, methods, out=tmp_path / "scores.jsonl", tasks=["T1->FLAIR"], reporter=QUIET).exit_code == 0


def test_arrays_changed_after_prepare_are_not_learned_from(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify_cases(list(store.cases()), QUIET)
    path = store.root / "A" / "case01" / IMAGES
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"case01/images\.npy: not the bytes case\.json was written for"):
        verify_cases(list(store.cases()), QUIET)
    assert main(["train", str(store.root), "--out", str(tmp_path / "run"), "--preset", "tiny", "--epochs", "1"]) == 4
    assert "A/case01/images.npy: not the bytes" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()
    path.unlink()
    with pytest.raises(BadInput, match=r"images\.npy: not there"):
        verify_cases(list(store.cases()), QUIET)
