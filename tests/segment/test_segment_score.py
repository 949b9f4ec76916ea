"""Rows of the three variants: what is given to the network, what is done again and what not, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_phantoms import make_model
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.segment import score
from pmmsynth.segment.overlap import overlap
from pmmsynth.segment.regions import regions_of
from pmmsynth.segment.score import evaluate_segmenter, inputs, read_rows, write_rows
from pmmsynth.segment.segmenter import load_segmenter, segment
from pmmsynth.segment.slices import brain_slices, stack
from pmmsynth.segment.train import train_segmenter
from pmmsynth.store import read_case
from segment_phantoms import TINY, make_segment_store

NAMES = ("T1", "T2", "T1C", "FLAIR")


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "synthesis")


def test_real_rows_by_hand(gliomas, full, tmp_path, quiet):
    """All slices with brain through the network, inside the brain alone, against the labels."""
    rows = evaluate_segmenter(gliomas, full, tmp_path / "rows.jsonl", reporter=quiet)
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
        return evaluate_segmenter(gliomas, full, path, model=model, left_out="t1ce", reporter=quiet)

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
    before = {r.case: r.digest for r in evaluate_segmenter(gliomas, full, path, reporter=quiet)}
    other = train_segmenter(gliomas, tmp_path / "other", replace(TINY, seed=1), reporter=quiet)
    after = evaluate_segmenter(gliomas, other, path, reporter=quiet)
    assert len(after) == 9
    assert all(before[r.case] != r.digest for r in after)


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
