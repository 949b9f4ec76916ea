"""The loop learns, schedules its rate, and supervises only what has ground truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from phantoms import make_store, phantom
from pmmsynth.console import Reporter
from pmmsynth.data import Batch, Condition, SliceDataset
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.losses import LossWeights
from pmmsynth.model import load_model
from pmmsynth.nets import PMMSynthArchitecture
from pmmsynth.store import Store
from pmmsynth.train import loop, paper, small, tiny, train
from pmmsynth.train.learner import Learner
from pmmsynth.train.run import training_card
from pmmsynth.train.validate import default_tasks, fixed_examples

QUIET = Reporter(quiet=True)


def test_paper_is_the_paper() -> None:
    config = paper()
    assert (config.batch_size, config.epochs, config.constant_epochs) == (16, 200, 50)
    assert (config.learning_rate, config.betas) == (2e-4, (0.5, 0.999))
    assert config.weights == LossWeights(100.0, 30.0, 1.0)


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 1), (49.9, 1), (50, 1), (125, 0.5), (185, 0.1), (199.5, 1 / 300), (200, 0)]
)
def test_the_rate_is_constant_then_linear_to_zero(epoch: float, share: float) -> None:
    assert paper().rate(epoch) == pytest.approx(2e-4 * share)


def learner(**weights: float) -> Learner:
    architecture = PMMSynthArchitecture(width=8, residual_blocks=1, embedding=8)
    config = replace(tiny(), architecture=architecture, learning_rate=3e-3, weights=LossWeights(**weights))
    return Learner.build(Fabric(accelerator="cpu", devices=1), config, modalities=3, datasets=2, matrix=64)


def step(learner: Learner, batch: Batch, sources: list[bool]) -> dict[str, torch.Tensor]:
    return learner.step(batch, Condition(torch.tensor(sources), batch.available))


def tensors(learner: Learner) -> dict[str, torch.Tensor]:
    assert learner.state.adversary
    networks = learner.state.generator, learner.state.adversary
    return {k: v.clone() for module in networks for k, v in module.state_dict().items()}


def test_two_slices_are_learned_by_heart(store: Store) -> None:
    """In 150 steps the synthesis of a third modality comes within 0.02 of the truth."""
    slices = SliceDataset(list(store.cases("train")), modalities=("T1", "T2", "FLAIR"), dataset_ids={"A": 0, "B": 1})
    batch = slices[[2, 4]]
    pixels = learner(adversarial=0.0)
    first = step(pixels, batch, [True, True, False])
    for _ in range(150):
        last = step(pixels, batch, [True, True, False])
    assert last["synthesis"] < 0.02 < 0.1 < first["synthesis"]
    assert last["reconstruction"] < first["reconstruction"]


def test_a_modality_without_truth_changes_no_weight() -> None:
    """Channel 2 is absent (and NaN): its decoder, its encoder and its discriminator stay as they were."""
    images = torch.rand(2, 3, 64, 64)
    images[:, 2] = float("nan")
    whole = learner()
    before = tensors(whole)
    batch = Batch(images, torch.tensor([True, True, False]), torch.tensor(0))
    for sources in ([True, False, False], [False, True, False]):
        losses = step(whole, batch, sources)
    assert all(value == value for value in losses.values())
    after = tensors(whole)
    absent = ("specific.2.", "decoders.2.", "streams.2.")
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith(absent))
    assert all(not torch.equal(after[k], before[k]) for k in before if k.startswith("decoders.0.image"))
    # what the first step made a target trains its discriminator: 1 by the first draw, 0 by the second
    assert all(not torch.equal(after[k], before[k]) for k in before if k.startswith(("streams.0.0", "streams.1.0")))


def test_without_adversarial_weight_there_is_no_discriminator() -> None:
    pixels = learner(adversarial=0.0)
    assert pixels.adversary is pixels.state.adversary is pixels.state.adversary_optimizer is None
    batch = Batch(torch.rand(1, 3, 16, 16), torch.tensor([True, True, True]), torch.tensor(0))
    assert set(step(pixels, batch, [True, False, False])) == {"generator", "synthesis", "reconstruction"}


def test_a_run_leaves_what_is_promised(store: Store, tmp_path: Path) -> None:
    model = train(store, tmp_path / "run", tiny(), reporter=QUIET)
    run = tmp_path / "run"
    for name in ("config.toml", "metrics.jsonl", "provenance.json", "checkpoints/last.pt", "samples/epoch_0002.png"):
        assert (run / name).is_file(), name
    generator, card = load_model(model)
    assert card.modalities == ("T1", "T2", "FLAIR", "ADC")
    assert [d.name for d in card.datasets] == ["A", "B"]
    assert card.dataset("B").modalities == ("T1", "FLAIR", "ADC")
    assert card.dataset("A").intensity["T1"].scale == pytest.approx(1000.5)  # the median of 1000 and 1001
    assert card.training["cases"] == {"A": 2, "B": 2}
    assert not generator.training


def test_datasets_part_ways_in_training(store: Store, tmp_path: Path) -> None:
    generator, card = load_model(train(store, tmp_path / "run", tiny(), reporter=QUIET))
    images = torch.from_numpy(phantom("T1")[0][4:5, None]).expand(1, 4, 32, 32)
    made = [
        generator(images, card.mask(("T1",)), torch.tensor(n), card.mask(("FLAIR",)))[:, card.modalities.index("FLAIR")]
        for n in (0, 1)
    ]
    assert (made[0] - made[1]).abs().max() > 1e-3


def test_one_dataset_of_the_store_alone(store: Store, tmp_path: Path) -> None:
    """Its id becomes 0, and the model knows no modality the others had."""
    alone = Store(store.root, ("B",))
    _, card = load_model(train(alone, tmp_path / "run", tiny(), reporter=QUIET))
    assert [(d.id, d.name) for d in card.datasets] == [(0, "B")]
    assert card.modalities == ("T1", "FLAIR", "ADC")
    assert card.training["cases"] == {"B": 2}
    with pytest.raises(UsageError, match=r"dataset 'C'; expected one of A, B"):
        train(Store(store.root, ("B", "C")), tmp_path / "other", tiny(), reporter=QUIET)


def test_validation_tasks_that_no_case_allows_are_refused(store: Store, tmp_path: Path) -> None:
    """FLAR would else be a sequence nobody has, and nothing be validated."""
    for tasks in (("T1+T2->FLAR",), ("T1->FLAR", "T2->ADC")):
        with pytest.raises(UsageError, match=r"validation_tasks .*FLAR.* among T1, T2, FLAIR, ADC"):
            train(store, tmp_path / "run", replace(tiny(), validation_tasks=tasks), reporter=QUIET)
        assert not (tmp_path / "run").exists(), "corrected, the same command works"
    some = replace(tiny(), epochs=1, validation_tasks=("T1->FLAR", "T1->FLAIR"))
    train(store, tmp_path / "other", some, reporter=QUIET)
    assert "A: T1->FLAIR" in (tmp_path / "other" / "metrics.jsonl").read_text()


def test_a_fault_of_a_file_comes_back_whole_from_another_process(store: Store) -> None:
    """Else the loader would make an error of its own of it."""

    class Damaged:
        def __getitem__(self, samples: list[int]) -> None:
            raise BadInput("images.npy: cut short", "a whole file", "prepare again") if samples[0] else OSError("gone")

    loader = DataLoader(loop._Reading(Damaged()), sampler=[[0], [1]], batch_size=None, num_workers=1)
    gone, damaged = loader
    assert (type(gone), str(gone)) == (OSError, "gone")
    assert (type(damaged), damaged.exit_code) == (BadInput, 4)
    assert str(damaged) == "found images.npy: cut short; expected a whole file; prepare again"


def test_a_damaged_slice_ends_training_in_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: object, samples: object) -> None:
        raise BadInput("images.npy: cut short", "a whole file", "prepare again")

    monkeypatch.setattr(loop.SliceDataset, "__getitem__", damaged)
    with pytest.raises(BadInput, match="cut short"):
        train(store, tmp_path / "run", tiny(), reporter=QUIET)


def test_examples_keep_no_images(store: Store) -> None:
    """They are read when asked for, so that memory does not grow with the validation cases."""
    cases = list(store.cases("val"))
    slices = SliceDataset(cases, modalities=("T1", "T2", "FLAIR", "ADC"), dataset_ids={"A": 0, "B": 1})
    card = training_card(store, tiny())
    example = fixed_examples(slices, (), card)[0]
    assert not any(isinstance(kept, torch.Tensor) for kept in vars(example).values())
    places = [slices.index[sample] for sample in example.samples]
    assert {case for case, _ in places} == {0}
    positions = [position for _, position in places]
    assert torch.equal(example.images[:, 0], torch.from_numpy(cases[0].slices(positions)[0]))
    assert torch.equal(example.brain, torch.from_numpy(np.array(cases[0].brain()[positions])))


def test_validation_tasks_are_fixed(store: Store) -> None:
    assert [str(t) for t in default_tasks(("T1", "T2", "FLAIR"))] == [
        *("T2+FLAIR->T1", "T2->T1"),
        *("T1+FLAIR->T2", "T1->T2"),
        *("T1+T2->FLAIR", "T1->FLAIR"),
    ]
    slices = SliceDataset(list(store.cases("val")), modalities=("T1", "T2", "FLAIR", "ADC"), dataset_ids={"A": 0})
    card = training_card(store, tiny())
    examples = fixed_examples(slices, ("T1->T2", "T1->ADC"), card)
    assert [[str(t) for t in e.tasks] for e in examples] == [["T1->T2"]]
    assert len(examples[0].images) == 6


def test_a_sequence_no_training_case_has_is_left_out_of_validation(tmp_path: Path) -> None:
    """A validation case with DWI does not stop a model that never saw DWI."""
    cohort = {"A": [("train", ["T1", "T2"]), ("val", ["T1", "T2", "DWI"])]}
    model = train(make_store(tmp_path / "store", cohort), tmp_path / "run", tiny(), reporter=QUIET)
    assert load_model(model)[1].modalities == ("T1", "T2")
    assert "validation_psnr" in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_without_validation_cases_the_last_weights_are_the_model(tmp_path: Path) -> None:
    cohort = {"A": [("train", ["T1", "T2"]), ("val", ["DWI"])]}
    run = tmp_path / "run"
    generator, _ = load_model(train(make_store(tmp_path / "store", cohort), run, tiny(), reporter=QUIET))
    last = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["generator"]
    assert all(torch.equal(tensor, last[name]) for name, tensor in generator.state_dict().items())


def test_wrong_settings_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="constant_epochs 9 and epochs 2"):
        replace(tiny(), constant_epochs=9)
    with pytest.raises(ValueError, match="validate_every 0 must be at least 1"):
        replace(tiny(), validate_every=0)
    with pytest.raises(UsageError, match="SOURCES->TARGET"):
        replace(tiny(), validation_tasks=("T1 to T2",))


@pytest.mark.parametrize("method", ["FTN", "ResViT"])
def test_a_matrix_the_method_does_not_take_is_a_matter_of_the_store(method):
    fabric = Fabric(accelerator="cpu", devices=1)
    with pytest.raises(UsageError, match=r"multiple of 16 pixels.* not 40.*prepare with another --matrix"):
        Learner.build(fabric, tiny(method), modalities=3, datasets=2, matrix=40)


def test_small_trains_within_the_hour_by_being_small() -> None:
    network = small().architecture.build(modalities=4, datasets=5, matrix=192)
    assert sum(p.numel() for p in network.parameters()) < 3.5e6
