"""A segmenter learns, follows from its seed, and comes back from a kill as if nothing had been."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceFocalLoss

from model_phantoms import make_model
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.segment.segmenter import SegmenterCard, load_segmenter, segment
from pmmsynth.segment.slices import TrainingSlices, stack
from pmmsynth.segment.train import train_segmenter
from pmmsynth.segment.variation import moved, relit
from pmmsynth.train.run import Stopped
from segment_phantoms import TINY


def test_a_network_overfits_two_slices(gliomas):
    slices = TrainingSlices.of([next(gliomas.cases("train"))], "glioma", ("T1", "T1C", "FLAIR"))
    positions = [2, 3]
    images = stack(slices.cases[0], slices.modalities, positions)
    truth = torch.from_numpy(np.isin(slices.cases[0].labels()[positions], [1, 4]))[:, None].float()
    card = SegmenterCard(
        target="lesion", modalities=slices.modalities, left_out="", width=4, matrix=48, inplane_mm=1.0, training={}
    )
    network = card.build()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    criterion = DiceFocalLoss(sigmoid=True, batch=True)
    for _ in range(150):
        loss = criterion(network(images), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = segment(network.eval(), images)
    assert 2 * (found & truth.bool()).sum() / (found.sum() + truth.sum()) > 0.95


def test_batches_follow_from_seed_and_step(gliomas):
    slices = TrainingSlices.of(list(gliomas.cases("train")), "glioma", ("T1", "FLAIR"))
    assert len(slices.places) == 3 * 5  # the sixth slice has no brain
    one, again, other = (slices.batch(6, 0, step) for step in (4, 4, 5))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])
    assert one[0].shape == (6, 2, 48, 48)
    assert one[1].shape == (6, 3, 48, 48)
    assert set(one[1].unique().tolist()) == {0.0, 1.0}
    assert (one[1].flatten(1).sum(1) > 0).sum() >= 2, "a third at least shows lesion"


def test_images_and_truth_move_together():
    """An image that is its own truth stays so, in place, whatever is done to both."""
    blob = torch.zeros(8, 1, 48, 48)
    blob[:, :, 10:22, 26:40] = 1
    images, truth = moved(blob, blob, np.random.default_rng(1))
    agree = ((images / images.amax((1, 2, 3), keepdim=True) > 0.5) == truth.bool()).float().mean((1, 2, 3))
    assert agree.min() > 0.995
    area = truth.sum((1, 2, 3)) / blob[0].sum()
    assert ((area > 0.78) & (area < 1.27)).all(), "zoomed by at most a tenth, nothing stretched"
    columns = (truth * torch.arange(48)).sum((1, 2, 3)) / truth.sum((1, 2, 3))
    assert (columns < 23.5).any(), "some are mirrored"
    assert (columns > 23.5).any(), "some are not"


def test_the_look_of_each_sequence_changes_by_itself():
    """A plain square stays one of nearly the same mean, whichever of noise, blur, contrast and gamma is drawn."""
    square = torch.zeros(32, 4, 48, 48)
    square[:, :, 8:40, 8:40] = 0.5
    images = relit(square, np.random.default_rng(2))
    inside = images[:, :, 14:34, 14:34].flatten(2)
    assert ((inside.mean(2) > 0.43) & (inside.mean(2) < 0.57)).all(), "as bright as before, within a tenth and noise"
    assert inside.mean(2).std(1).min() > 0, "no two sequences of a slice alike"
    noisy = (inside.std(2) > 0.004).float().mean()
    assert 0.03 < noisy < 0.2, "one in ten has noise"
    assert not images[square == 0].any(), "the background stays 0, also beside a blurred edge"
    edge = images[:, :, 20:28, 8].mean(2) / inside.mean(2)
    assert 0.1 < (edge < 0.95).float().mean() < 0.35, "one in five is blurred"
    assert torch.equal(images, relit(square, np.random.default_rng(2)))


class Killed(BaseException):
    pass


def interrupt(monkeypatch, step: int, act) -> None:
    """Do something when the batch of a step is asked for."""
    honest = TrainingSlices.batch

    def batch(self, size, seed, number):
        if number == step:
            act()
        return honest(self, size, seed, number)

    monkeypatch.setattr(TrainingSlices, "batch", batch)


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("mixed", [False, True])
def test_a_killed_training_ends_as_an_unbroken_one(gliomas, tmp_path, quiet, monkeypatch, mixed):
    model = make_model(tmp_path / "synthesis") if mixed else None
    config = replace(TINY, steps=6, checkpoint_seconds=1e-9)  # after every step
    whole = train_segmenter(gliomas, tmp_path / "whole", config, models=[model] if model else [], reporter=quiet)
    with monkeypatch.context() as patched:
        interrupt(patched, 4, kill)
        with pytest.raises(Killed):
            train_segmenter(gliomas, tmp_path / "broken", config, models=[model] if model else [], reporter=quiet)
    assert not (tmp_path / "broken" / "model").exists()
    steps = []
    interrupt(monkeypatch, 4, lambda: steps.append(4))
    broken = train_segmenter(gliomas, tmp_path / "broken", config, models=[model] if model else [], reporter=quiet)
    assert steps == [4]
    for name in ("segmenter.safetensors", "segmenter.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    assert (tmp_path / "whole" / "metrics.jsonl").is_file() is False  # fewer steps than a line of it averages


def test_a_signal_saves_first(gliomas, tmp_path, quiet, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt(patched, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match="all is saved"):
            train_segmenter(gliomas, tmp_path, TINY, reporter=quiet)
    interrupt(monkeypatch, 1, lambda: pytest.fail("done already"))
    train_segmenter(gliomas, tmp_path, TINY, reporter=quiet)


def test_another_seed_is_another_network(gliomas, full, tmp_path, quiet):
    other = train_segmenter(gliomas, tmp_path, replace(TINY, seed=1), reporter=quiet)
    assert load_segmenter(other)[1].weights_sha256 != load_segmenter(full)[1].weights_sha256


def test_one_trained_without_a_sequence_does_not_read_it(gliomas, tmp_path, quiet):
    network, card = load_segmenter(train_segmenter(gliomas, tmp_path, replace(TINY, left_out="t1ce"), reporter=quiet))
    assert (card.modalities, card.left_out) == (("T1", "T2", "FLAIR"), "T1C")
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 3, 48, 48)


def test_refusals(gliomas, full, tmp_path, quiet):
    run = full.parent
    with pytest.raises(UsageError, match="seed 0, not 1"):
        train_segmenter(gliomas, run, replace(TINY, seed=1), reporter=quiet)
    with pytest.raises(UsageError, match="other cases"):
        train_segmenter(type(gliomas)(gliomas.root, ("A",)), run, TINY, reporter=quiet)
    with pytest.raises(UsageError, match="--left-out ADC"):
        train_segmenter(gliomas, tmp_path / "new", replace(TINY, left_out="ADC"), reporter=quiet)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="files but no run"):
        train_segmenter(gliomas, tmp_path, TINY, reporter=quiet)


@pytest.mark.parametrize("name", ["segmenter.safetensors", "segmenter.json"])
def test_a_damaged_segmenter_is_refused(full, tmp_path, name):
    for path in full.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    load_segmenter(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(BadInput, match=name):
        load_segmenter(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BadInput, match=f"no {name}"):
        load_segmenter(tmp_path)


def test_a_damaged_checkpoint_is_refused(gliomas, tmp_path, quiet):
    train_segmenter(gliomas, tmp_path, TINY, reporter=quiet)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"checkpoint\.safetensors"):
        train_segmenter(gliomas, tmp_path, TINY, reporter=quiet)
