"""Laws every method of the comparison must obey, whatever its paper."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from compare_runs import same
from phantoms import make_store, phantom
from pmmsynth.console import Reporter
from pmmsynth.data import Batch, Condition, step_random
from pmmsynth.errors import UsageError
from pmmsynth.infer import StoredMethod, Synthesizer
from pmmsynth.methods import METHODS, architecture_of
from pmmsynth.modality import Task
from pmmsynth.model import load_model, save_model
from pmmsynth.nets import Generator
from pmmsynth.store import FEWEST_PIXELS
from pmmsynth.train import Stopped, tiny, train
from pmmsynth.train.learner import Learner
from pmmsynth.train.run import training_card

NAMES = ("T1", "T2", "FLAIR", "DWI")
SIZE, DATASETS = FEWEST_PIXELS, 3
STEPS = 80
N = torch.tensor(1)
QUIET = Reporter(quiet=True)

each = pytest.mark.parametrize("method", METHODS)


def mask(*channels: int) -> torch.Tensor:
    return torch.tensor([c in channels for c in range(len(NAMES))])


def sources(method: str) -> torch.Tensor:
    return mask(0) if METHODS[method].one_to_one else mask(0, 2)


def generator(method: str) -> Generator:
    """A tiny one in evaluation mode, away from the zeros it may begin with."""
    torch.manual_seed(0)
    network = tiny(method).architecture.build(modalities=len(NAMES), datasets=DATASETS, matrix=SIZE).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for name, parameter in network.named_parameters():
            if name.endswith("image.bias"):  # where the head ends in a ReLU, above it
                parameter.add_(0.3)
    return network


def learner(method: str) -> Learner:
    config = replace(tiny(method), learning_rate=3e-3)
    fabric = Fabric(accelerator="cpu", devices=1)
    return Learner.build(fabric, config, modalities=len(NAMES), datasets=DATASETS, matrix=SIZE)


def slices(count: int = 2) -> torch.Tensor:
    return torch.stack([torch.from_numpy(phantom(m, size=SIZE)[0][4 : 4 + count]) for m in NAMES], 1)


@each
def test_what_is_not_a_source_may_be_nan_and_changes_nothing(method: str) -> None:
    network, images, given = generator(method), slices(), sources(method)
    spoiled = torch.where(given[:, None, None], images, torch.nan)
    kept = spoiled.clone()
    with torch.no_grad():
        made = network(images, given, N, mask(1, 3))
        assert torch.equal(network(spoiled, given, N, mask(1, 3)), made)
    assert torch.equal(spoiled.nan_to_num(-1), kept.nan_to_num(-1)), "the input is not written to"
    assert made[:, [1, 3]].std() > 1e-4


@each
def test_sources_do_matter(method: str) -> None:
    network, images, given = generator(method), slices(), sources(method)
    with torch.no_grad():
        one, other = (network(i, given, N, mask(1)) for i in (images, images.flip(-1) * 0.7))
    assert (one - other).abs().max() > 1e-3


@each
def test_unwanted_targets_are_zero_and_wanted_ones_do_not_depend_on_the_others(method: str) -> None:
    network, images, given = generator(method), slices(), sources(method)
    with torch.no_grad():
        both, one = (network(images, given, N, targets) for targets in (mask(1, 3), mask(3)))
    assert not one[:, :3].any()
    assert not both[:, [0, 2]].any()
    torch.testing.assert_close(one[:, 3], both[:, 3])


@each
def test_a_batch_equals_its_slices(method: str) -> None:
    network, images, given = generator(method), slices(3), sources(method)
    with torch.no_grad():
        together = network(images, given, N, mask(1))
        alone = torch.cat([network(image[None], given, N, mask(1)) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@each
def test_a_slice_without_head_is_finite(method: str) -> None:
    with torch.no_grad():
        assert generator(method)(torch.zeros(1, len(NAMES), SIZE, SIZE), sources(method), N, mask(1)).isfinite().all()


@each
def test_what_has_no_truth_is_never_read(method: str) -> None:
    """An absent modality is NaN: whatever a step draws, losses and weights stay finite, and it draws no NaN."""
    images = slices()
    images[:, 3] = torch.nan
    batch = Batch(images, mask(0, 1, 2), N)
    learning = learner(method)
    for step in range(8):
        random = step_random(seed=0, epoch=0, step=step)
        condition = learning.objective.draw(batch.available, random, step / 8)
        assert condition.sources.any()
        assert condition.targets.any()
        assert not condition.sources[3]
        assert not condition.targets[3]
        if METHODS[method].one_to_one:
            assert condition.sources.sum() == condition.targets.sum() == 1
        losses = learning.step(batch, condition)
        assert all(value.isfinite() for value in losses.values())
    networks = (learning.state.generator, learning.state.adversary)
    assert all(p.isfinite().all() for network in networks if network for p in network.parameters())


@each
def test_a_single_modality_is_no_fault(method: str) -> None:
    """There is nothing to synthesize from it; the step passes."""
    learning = learner(method)
    batch = Batch(slices(), mask(1), N)
    condition = learning.objective.draw(batch.available, step_random(seed=0, epoch=0, step=0), 0.5)
    assert all(value.isfinite() for value in learning.step(batch, condition).values())


@pytest.mark.slow
@each
def test_two_slices_are_learned_by_heart(method: str) -> None:
    learning, images = learner(method), slices()
    batch, given = Batch(images, mask(0, 1, 2, 3), N), sources(method)
    targets = mask(1) if METHODS[method].one_to_one else mask(1, 3)

    def error() -> float:
        network = learning.state.generator.eval()
        with torch.no_grad():
            made = network(images, given, N, mask(1))
        network.train()
        return float((made[:, 1] - images[:, 1]).abs().mean())

    before = error()
    for _ in range(STEPS):
        learning.step(batch, Condition(given, targets))
    assert error() < 0.5 * before


@each
def test_weights_survive_the_model_folder(method: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"A": [("train", NAMES)], "B": [("train", NAMES)]})
    card = training_card(store, tiny(method))
    torch.manual_seed(3)
    network = card.build().eval()
    save_model(tmp_path / "model", network, card)
    again, read = load_model(tmp_path / "model")
    assert (read.method, read.architecture) == (method, tiny(method).architecture)
    asked = slices(), sources(method), N, mask(1)
    with torch.no_grad():
        torch.testing.assert_close(again(*asked), network(*asked))


@each
def test_one_to_one_methods_say_so_by_their_data(method: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"A": [("train", NAMES)]})
    card = training_card(store, tiny(method))
    one_to_one = METHODS[method].one_to_one
    assert card.can(Task(("T1",), "FLAIR"))
    assert card.can(Task(("T1", "T2"), "FLAIR")) != one_to_one
    save_model(tmp_path / "model", card.build(), card)
    model = Synthesizer.load(tmp_path / "model", "cpu", precision="float32")
    assert ("T1+T2->FLAIR" in StoredMethod.of([model], store).tasks["A"]) != one_to_one
    if one_to_one:
        with pytest.raises(UsageError, match=r"found sources T1\+T2 of FLAIR; expected one for a model of"):
            model.synthesize_volumes(dict.fromkeys(("T1", "T2")), "A", ["FLAIR"])


@each
def test_unknown_settings_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="depth: Extra inputs"):
        architecture_of(method, {"depth": 3})


@pytest.mark.slow
@each
def test_an_interrupted_run_ends_as_an_unbroken_one(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole loop (steps, validation, shrinkage, a model that is read again), bit for bit, dropout included."""
    cohort = {"A": [("train", NAMES), ("train", NAMES[:3]), ("val", NAMES)], "B": [("train", NAMES[1:])]}
    store = make_store(tmp_path / "store", cohort)
    unbroken, run = tmp_path / "unbroken", tmp_path / "run"
    _, card = load_model(train(store, unbroken, tiny(method), reporter=QUIET))
    assert card.method == method
    assert '"validation_psnr"' in (unbroken / "metrics.jsonl").read_text()

    real, calls = Learner.step, 0

    def interrupted(*args: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        with pytest.raises(Stopped):
            train(store, run, tiny(method), reporter=QUIET)
    train(store, run, tiny(method), reporter=QUIET)
    assert same(run, unbroken)
