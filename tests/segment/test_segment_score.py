"""Rows of the three variants: what is given to the network, what is done again and what not, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_phantoms import make_model
from pmmsynth import atomic
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.segment import score
from pmmsynth.segment.nnunet import export_nnunet
from pmmsynth.segment.overlap import overlap
from pmmsynth.segment.regions import regions_of
from pmmsynth.segment.score import evaluate_segmenter, inputs, read_rows, write_rows
from pmmsynth.segment.segmenter import load_segmenter, segment
from pmmsynth.segment.slices import brain_slices, stack
from pmmsynth.segment.train import train_segmenter
from pmmsynth.store import Store, read_case
from segment_phantoms import TINY, make_one_to_one, make_segment_store

NAMES = ("T1", "T2", "T1C", "FLAIR")


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "synthesis")


def test_real_rows_by_hand(gliomas, full, tmp_path, quiet):
    """All slices with brain through the network, inside the brain alone, against the labels."""
    rows = evaluate_segmenter(gliomas, full, tmp_path / "rows.jsonl", reporter=quiet).rows
    assert [(r.dataset, r.case) for r in rows[::3]] == [("A", "A3"), ("A", "A4"), ("B", "B1")]
    assert {(r.variant, r.left_out) for r in rows} == {("real", "")}
    case = read_case(gliomas.root / "B" / "B1")
    assert brain_slices(case) == [0, 1, 2, 3, 4]
    found = np.zeros((3, 6, 48, 48), bool)
    network, _ = load_segmenter(full)
    found[:, :5] = segment(network, stack(case, NAMES, [0, 1, 2, 3, 4])).numpy().transpose(1, 0, 2, 3)
    found &= case.brain()
    for row, mask, truth in zip(rows[6:], found, regions_of(case, "glioma"), strict=True):
        expected = overlap(mask, truth, (4, 1, 1))
        assert (row.dice, row.hd95_mm, row.volume_ml) == (expected.dice, expected.hd95_mm, expected.volume_ml)
        assert row.truth_ml == pytest.approx(truth.sum() * 0.004)


def test_the_synthesized_sequence_alone_differs(model, tmp_path):
    store = make_segment_store(tmp_path / "store", "A", "B")
    case = read_case(store.root / "A" / "A3")
    method = Method.of([Synthesizer.load(model)], [model], store)
    real, mixed = inputs(case, NAMES, "", None), inputs(case, NAMES, "T1C", method)
    assert torch.equal(real, stack(case, NAMES, range(5)))
    kept = [0, 1, 3]
    assert torch.equal(mixed[:, kept], real[:, kept])
    assert not torch.allclose(mixed[:, 2], real[:, 2], atol=0.05)
    outside = torch.from_numpy(~case.brain()[:5])
    assert (mixed[:, 2][outside] == 0).all()
    images = case.images().copy()
    images[2] = 0
    np.save(case.folder / "images.npy", images)
    assert torch.equal(inputs(case, NAMES, "T1C", method), mixed), "the true sequence is not looked at"


def test_three_variants_and_nothing_twice(gliomas, full, model, tmp_path, quiet, monkeypatch):
    path = tmp_path / "rows.jsonl"
    without = train_segmenter(gliomas, tmp_path / "without", replace(TINY, left_out="T1C"), reporter=quiet)

    def everything():
        evaluate_segmenter(gliomas, without, path, reporter=quiet)
        evaluate_segmenter(gliomas, full, path, reporter=quiet)
        return evaluate_segmenter(gliomas, full, path, model=model, left_out="t1ce", reporter=quiet).rows

    rows = everything()
    assert [r.variant for r in read_rows(path)[::9]] == ["real", "synthesized", "dropped"]
    assert {(r.variant, r.left_out) for r in rows} == {("real", ""), ("synthesized", "T1C"), ("dropped", "T1C")}
    assert len({r.digest for r in rows}) == 9, "one of each variant and case"
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(score, "segment", lambda *_: pytest.fail("done again"))
        everything()
    assert path.read_bytes() == before
    kept = [r for r in read_rows(path) if not (r.variant == "dropped" and r.case == "A3" and r.region == "tumour core")]
    write_rows(path, kept)
    everything()
    assert path.read_bytes() == before


def test_rows_of_other_weights_are_replaced(gliomas, full, tmp_path, quiet):
    path = tmp_path / "rows.jsonl"
    before = {r.case: r.digest for r in evaluate_segmenter(gliomas, full, path, reporter=quiet).rows}
    other = train_segmenter(gliomas, tmp_path / "other", replace(TINY, seed=1), reporter=quiet)
    after = evaluate_segmenter(gliomas, other, path, reporter=quiet).rows
    assert len(after) == 9
    assert all(before[r.case] != r.digest for r in after)


def test_each_split_for_itself(gliomas, full, tmp_path, quiet):
    """Rows of training and validation cases stay in the file and out of what a call on test cases returns."""
    path = tmp_path / "rows.jsonl"
    counts = {s: len(evaluate_segmenter(gliomas, full, path, split=s, reporter=quiet).rows) for s in ("train", "test")}
    assert counts == {"train": 9, "test": 9}
    assert len(evaluate_segmenter(gliomas, full, path, reporter=quiet).rows) == 9
    assert {r.split for r in read_rows(path)} == {"train", "test"}
    assert len(read_rows(path)) == 18


def test_rows_of_cases_that_left_the_split_go(gliomas, full, tmp_path, quiet):
    path = tmp_path / "rows.jsonl"
    rows = evaluate_segmenter(gliomas, full, path, reporter=quiet).rows
    gone = [row.model_copy(update={"case": "A9"}) for row in rows[:3]]
    elsewhere = [row.model_copy(update={"dataset": "C"}) for row in rows[:3]]
    write_rows(path, [*rows, *gone, *elsewhere])
    after = evaluate_segmenter(gliomas, full, path, reporter=quiet).rows
    assert {(r.dataset, r.case) for r in after} == {(r.dataset, r.case) for r in [*rows, *elsewhere]}


def test_another_network_leaves_no_row_of_the_one_before(gliomas, full, tmp_path, quiet):
    """Not even in a dataset that the call does not score: two networks are never one column."""
    path = tmp_path / "rows.jsonl"
    evaluate_segmenter(gliomas, full, path, reporter=quiet)
    other = train_segmenter(gliomas, tmp_path / "other", replace(TINY, seed=1), reporter=quiet)
    after = evaluate_segmenter(Store(gliomas.root, ("B",)), other, path, reporter=quiet).rows
    assert {(r.dataset, r.case) for r in after} == {("B", "B1")}
    assert len({r.network for r in read_rows(path)}) == 1


def test_one_process_at_a_time(gliomas, full, tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(atomic, "PATIENCE", 0.0)
    with atomic.only_writer(tmp_path / "out"), pytest.raises(UsageError, match="another process that writes"):
        evaluate_segmenter(gliomas, full, tmp_path / "out" / "rows.jsonl", reporter=quiet)


def test_what_is_found_outside_the_brain_does_not_count(gliomas, full, tmp_path, quiet, monkeypatch):
    case = read_case(gliomas.root / "B" / "B1")
    truth = regions_of(case, "glioma")
    found = torch.from_numpy((truth | ~case.brain())[:, brain_slices(case)].transpose(1, 0, 2, 3).copy())
    monkeypatch.setattr(score, "segment", lambda *_: found)
    rows = evaluate_segmenter(Store(gliomas.root, ("B",)), full, tmp_path / "rows.jsonl", reporter=quiet).rows
    assert [row.dice for row in rows] == [1, 1, 1]
    assert [row.truth_ml for row in rows] == pytest.approx([t.sum() * 0.004 for t in truth])


def test_a_model_that_cannot_is_refused_before_any_work(gliomas, full, tmp_path, quiet):
    path = tmp_path / "rows.jsonl"
    one = make_one_to_one(tmp_path / "ftn")
    with pytest.raises(UsageError, match=r"does not do T1\+T2\+FLAIR->T1C in A"):
        evaluate_segmenter(gliomas, full, path, model=one, left_out="T1C", reporter=quiet)
    assert not path.exists()


def test_refusals(gliomas, full, model, tmp_path, quiet):
    path = tmp_path / "rows.jsonl"
    without = train_segmenter(gliomas, tmp_path / "without", replace(TINY, left_out="T1C"), reporter=quiet)
    for folder, model_, left_out, reason in (
        (full, model, "", "--model or --left-out alone"),
        (full, None, "T1C", "--model or --left-out alone"),
        (full, model, "ADC", "--left-out ADC; expected one of"),
        (without, model, "T2", "trained without T1C"),
    ):
        with pytest.raises(UsageError, match=reason):
            evaluate_segmenter(gliomas, folder, path, model=model_, left_out=left_out, reporter=quiet)
    with pytest.raises(BadInput, match=r"no segmenter\.json"):
        evaluate_segmenter(gliomas, model, path, reporter=quiet)
    path.write_text("{}\n")
    with pytest.raises(BadInput, match="line 1"):
        read_rows(path)


def test_neither_network_is_scored_on_what_it_learned_from(full, model, tmp_path, quiet):
    """The store of the training, split anew."""
    store = make_segment_store(tmp_path / "store", "A", "B")
    path = store.root / "A" / "A0" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split": "test"}))
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(UsageError, match="1 of 4 cases among those the segmenter learned from, the first A/A0;"):
        evaluate_segmenter(store, full, rows, reporter=quiet)
    trained = train_segmenter(store, tmp_path / "run", TINY, reporter=quiet)
    assert len(evaluate_segmenter(store, trained, rows, reporter=quiet).rows) == 12
    knowing = make_model(tmp_path / "knowing", learned=load_segmenter(full)[1].learned)
    with pytest.raises(UsageError, match="1 of 4 cases among those the model learned from, the first A/A0;"):
        evaluate_segmenter(store, trained, rows, model=knowing, left_out="T2", reporter=quiet)
    with pytest.raises(UsageError, match="those the model learned from, the first A/A0;"):
        export_nnunet(store, tmp_path / "nnunet", model=knowing, left_out="T2", reporter=quiet)


def test_a_damaged_case_does_not_stop_the_others(full, tmp_path, quiet, capsys):
    store, path = make_segment_store(tmp_path / "store", "A", "B"), tmp_path / "rows.jsonl"
    array = store.root / "A" / "A3" / "images.npy"
    content = array.read_bytes()
    array.write_bytes(content[:-9])
    done = evaluate_segmenter(store, full, path, reporter=quiet)
    assert [row.case for row in done.rows[::3]] == ["A4", "B1"]
    assert (done.exit_code, [f.name for f in done.outcome.failures]) == (5, ["A/A3"])
    assert "A3/images.npy: not the bytes case.json was written for" in capsys.readouterr().err
    assert evaluate_segmenter(store, full, path, reporter=quiet).exit_code == 5, "rows of before are there"
    array.write_bytes(content)
    done = evaluate_segmenter(store, full, path, reporter=quiet)
    assert (done.exit_code, len(done.rows)) == (0, 9)
    for case in store.cases("test"):
        (case.folder / "images.npy").write_bytes(b"")
    assert evaluate_segmenter(store, full, tmp_path / "none.jsonl", reporter=quiet).exit_code == 4


def test_old_rows_of_a_case_that_changed_and_fails_now_do_not_count(full, tmp_path, quiet):
    store, path = make_segment_store(tmp_path / "store", "A"), tmp_path / "rows.jsonl"
    assert len(evaluate_segmenter(store, full, path, reporter=quiet).rows) == 6
    record = store.root / "A" / "A3" / "case.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"labels_sha256": "0" * 64}))  # another mask
    done = evaluate_segmenter(store, full, path, reporter=quiet)
    assert {row.case for row in done.rows} == {"A4"}
    assert done.exit_code == 5


def test_a_finished_training_reads_nothing_again(gliomas, tmp_path, quiet, monkeypatch):
    train_segmenter(gliomas, tmp_path / "run", TINY, reporter=quiet)
    monkeypatch.setattr("pmmsynth.store.PreparedCase.verify", lambda case: pytest.fail("read again"))
    train_segmenter(gliomas, tmp_path / "run", TINY, reporter=quiet)
