"""A network that learns from synthesized sequences among the real ones: what it is shown, kept and refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_phantoms import make_model
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.learned import images_of, learned_from
from pmmsynth.nets.pmm import PMMSynthArchitecture
from pmmsynth.segment import mixing, score, slices
from pmmsynth.segment.mixing import Synthesis, synthesize_training
from pmmsynth.segment.score import check_task, evaluate_segmenter, inputs
from pmmsynth.segment.segmenter import load_segmenter
from pmmsynth.segment.slices import TrainingSlices, stack, told_apart
from pmmsynth.segment.train import train_segmenter
from pmmsynth.store import Fold, Store, read_case
from segment_phantoms import NAMES, TINY, make_segment_store

WIDER = PMMSynthArchitecture(width=6, residual_blocks=1, embedding=8)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "synthesis")


@pytest.fixture
def method(model, gliomas):
    return Method.of([Synthesizer.load(model)], [model], gliomas)


@pytest.fixture
def synthesis(model, gliomas):
    return Synthesis.of([model], gliomas)


def test_made_as_for_a_segmenter_that_is_scored(gliomas, method, synthesis, tmp_path, quiet):
    """Each sequence is what `inputs` gives in its scenario; the slice without brain stays 0."""
    cases = list(gliomas.cases("train"))
    made = synthesize_training(cases, NAMES, synthesis, tmp_path, quiet)
    assert [m.shape for m in made] == [(4, 6, 48, 48)] * 3
    for case, images in zip(cases, made, strict=True):
        for channel, name in enumerate(NAMES):
            wanted = inputs(case, NAMES, name, method)[:, channel].numpy()
            assert np.array_equal(images[channel, :5], wanted.astype(np.float16))
            assert images[channel, :5].std() > 0
        assert not images[:, 5].any()


def test_what_is_there_is_not_made_again(gliomas, synthesis, tmp_path, quiet, monkeypatch):
    cases = list(gliomas.cases("train"))
    before = synthesize_training(cases, NAMES, synthesis, tmp_path, quiet)
    (tmp_path / "B" / "B0.npy").unlink()
    asked = []
    honest = mixing.synthesized
    monkeypatch.setattr(mixing, "synthesized", lambda case, *a: asked.append(case.record.case) or honest(case, *a))
    after = synthesize_training(cases, NAMES, synthesis, tmp_path, quiet)
    assert asked == ["B0"]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def make_fold(folder, gliomas, fold, **changes):
    """A model that says it was trained on the other cases of the store."""
    learned = learned_from(Store(gliomas.root, fold=Fold.parse(fold)).cases("train"))
    wide = PMMSynthArchitecture(width=4 + 2 * int(fold[0]), residual_blocks=1, embedding=8)
    return make_model(folder, **{"architecture": wide, "learned": learned, **changes})


def test_a_case_is_made_by_the_model_that_did_not_learn_from_it(gliomas, tmp_path, quiet):
    folders = [make_fold(tmp_path / fold, gliomas, f"{fold}/2") for fold in "01"]
    one, other = (Method.of([Synthesizer.load(folder)], [folder], gliomas) for folder in folders)
    cases = {case.record.case: case for case in gliomas.cases("train")}
    first_of_all = min(one, other, key=lambda method: method.digest)
    for given in (folders, folders[::-1]):
        made = synthesize_training(
            list(cases.values()), NAMES, Synthesis.of(given, gliomas), tmp_path / given[0].name, quiet
        )
        for (name, case), images in zip(cases.items(), made, strict=True):
            stranger = {"A0": one, "A1": other}.get(name, first_of_all)  # B has one patient
            assert np.array_equal(images, mixing.synthesized(case, NAMES, stranger)), name
    first = train_segmenter(gliomas, tmp_path / "run", TINY, models=folders, reporter=quiet)
    assert load_segmenter(first)[1].synthesis not in (one.digest, other.digest)
    assert train_segmenter(gliomas, tmp_path / "run", TINY, models=folders, reporter=quiet) == first
    with pytest.raises(UsageError, match="another synthesis model"):
        train_segmenter(gliomas, tmp_path / "run", TINY, models=folders[:1], reporter=quiet)


def test_models_that_all_know_a_case_are_refused(gliomas, tmp_path):
    one, two = (make_fold(tmp_path / fold.replace("/", "of"), gliomas, fold) for fold in ("0/2", "1/2"))
    silent = make_fold(tmp_path / "silent", gliomas, "1/2", learned=None)
    for given, said in (
        ([one, one], "2 models that all learned from A/A1"),
        ([one, silent], "silent without word of what it learned from"),
    ):
        with pytest.raises(UsageError, match=said):
            Synthesis.of(given, gliomas)
    stranger = make_fold(tmp_path / "stranger", gliomas, "0/2", learned={"train": ["0" * 16]})
    for given in ([two, one], [one, stranger], [silent]):
        assert len(Synthesis.of(given, gliomas).methods) == len(given)


def test_the_only_patient_of_a_dataset_is_known_to_all_in_others_too(tmp_path):
    """Store.held_out keeps the patient in training everywhere."""
    store = make_segment_store(tmp_path / "store", "B", "A")
    for case, other in (("A1", {"subject": "B0"}), ("A2", {"split": "train"})):  # A0 and A2 are held out in turn
        path = store.root / "A" / case / "case.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | other))
    folders = [make_fold(tmp_path / fold, store, f"{fold}/2") for fold in "01"]
    known = [Synthesizer.load(folder).card.learned["train"] for folder in folders]
    assert images_of(read_case(store.root / "A" / "A1").record) <= {*known[0]} & {*known[1]}
    assert len(Synthesis.of(folders, store).methods) == 2


@pytest.mark.parametrize("damage", [b"", b"half", "another shape"])
def test_a_damaged_file_is_named(gliomas, synthesis, tmp_path, quiet, damage):
    cases = list(gliomas.cases("train"))
    synthesize_training(cases, NAMES, synthesis, tmp_path, quiet)
    path = tmp_path / "A" / "A1.npy"
    if damage == b"half":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == b"":
        path.write_bytes(b"")
    else:
        np.save(path, np.zeros((3, 6, 48, 48), np.float16))
    with pytest.raises(BadInput, match=r"A1\.npy: .*remove it"):
        synthesize_training(cases, NAMES, synthesis, tmp_path, quiet)


def test_all_real_or_one_sequence_synthesized_each_as_often(gliomas, monkeypatch):
    monkeypatch.setattr(slices, "vary", lambda images, truth, random: (images, truth))
    cases = list(gliomas.cases("train"))
    made = [np.full((4, 6, 48, 48), 0.75, np.float16)] * len(cases)
    mixed = TrainingSlices.of(cases, "glioma", NAMES, made)
    told, _ = mixed.batch(400, 0, 0)
    images = told[:, :4]
    replaced = (told[:, 4:] == 0.75).flatten(2).all(2)
    assert (images[replaced] == 0.75).all()
    assert not told[:, 4:][~replaced].any()
    counts = replaced.sum(1)
    assert set(counts.tolist()) == {0, 1}
    shares = [1 - counts.float().mean().item(), *replaced.float().mean(0).tolist()]
    assert all(0.14 < share < 0.26 for share in shares), "each a fifth, of 400"
    real = torch.cat([stack(case, NAMES, range(5)) for case in cases])
    for image, which in zip(images[:40], replaced[:40], strict=True):
        assert ((real[:, ~which] == image[~which]).flatten(1).all(1)).any(), "the others are real"


def test_what_is_synthesized_comes_again_in_a_channel_of_its_own():
    images = torch.arange(1.0, 5).reshape(1, 4, 1, 1).expand(2, 4, 3, 3)
    told = told_apart(images, torch.tensor([[False] * 4, [False, True, False, False]]))
    assert told[:, :, 1, 2].tolist() == [[1, 2, 3, 4, 0, 0, 0, 0], [1, 2, 3, 4, 0, 2, 0, 0]]


def test_scored_as_it_was_taught(gliomas, model, tmp_path, quiet, monkeypatch):
    """A synthesized sequence, and no other, is in its own channel too."""
    folder = train_segmenter(gliomas, tmp_path / "mixed", TINY, models=[model], reporter=quiet)
    seen = []
    monkeypatch.setattr(score, "segment", lambda network, images: seen.append(images) or images[:, :3] > 2)
    evaluate_segmenter(gliomas, folder, tmp_path / "rows.jsonl", reporter=quiet)
    evaluate_segmenter(gliomas, folder, tmp_path / "rows.jsonl", model=model, left_out="T2", reporter=quiet)
    cases = len(list(gliomas.cases("test")))
    given = [[bool(images[:, channel].any()) for channel in range(8)] for images in seen]
    assert given[:cases] == [[True] * 4 + [False] * 4] * cases
    assert given[cases:] == [[True, True, True, True, False, True, False, False]] * cases


def test_the_run_knows_its_model(gliomas, model, method, tmp_path, quiet):
    folder = train_segmenter(gliomas, tmp_path / "mixed", TINY, models=[model], reporter=quiet)
    assert load_segmenter(folder)[1].synthesis == method.digest
    rows = evaluate_segmenter(gliomas, folder, tmp_path / "rows.jsonl", reporter=quiet).rows
    rows = evaluate_segmenter(gliomas, folder, tmp_path / "rows.jsonl", model=model, left_out="T2", reporter=quiet).rows
    assert {(r.variant, r.left_out) for r in rows} == {("mixed, real", ""), ("mixed, synthesized", "T2")}
    plain = train_segmenter(gliomas, tmp_path / "plain", TINY, reporter=quiet)
    assert load_segmenter(plain)[1].synthesis == ""
    assert load_segmenter(plain)[1].weights_sha256 != load_segmenter(folder)[1].weights_sha256
    for out, other in (
        ("mixed", []),
        ("plain", [model]),
        ("mixed", [make_model(tmp_path / "other", architecture=WIDER)]),
    ):
        with pytest.raises(UsageError, match="another synthesis model"):
            train_segmenter(gliomas, tmp_path / out, TINY, models=other, reporter=quiet)


def test_refusals(gliomas, model, method, tmp_path, quiet):
    with pytest.raises(UsageError, match="--model and --left-out"):
        train_segmenter(gliomas, tmp_path / "run", replace(TINY, left_out="T2"), models=[model], reporter=quiet)
    part = replace(method, tasks={"A": {"T1+T2+T1C->FLAIR"}, "B": set()})
    check_task([case for case in gliomas.cases("train") if case.record.dataset == "A"], NAMES, "FLAIR", part)
    for name, dataset in (("FLAIR", "B"), ("T1", "A")):
        with pytest.raises(UsageError, match=rf"does not do .*->{name} in {dataset}"):
            check_task(list(gliomas.cases("train")), NAMES, name, part)
    assert not (tmp_path / "run").exists()


def test_nothing_is_made_of_damaged_arrays(model, tmp_path, quiet):
    store = make_segment_store(tmp_path / "store", "B")
    case = read_case(store.root / "B" / "B0")
    np.save(case.folder / "images.npy", np.full_like(case.images(), 0.5))
    with pytest.raises(BadInput, match=r"B0/images.npy: not the bytes"):
        train_segmenter(store, tmp_path / "run", TINY, models=[model], reporter=quiet)
    assert not list((tmp_path / "run").rglob("*.npy"))
