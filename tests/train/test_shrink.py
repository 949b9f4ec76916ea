"""How far the network is trusted: known answers of the weights, and what a run keeps of them."""

from pathlib import Path

import pytest
import torch

from phantoms import make_store
from pmmsynth.console import Reporter
from pmmsynth.data import SliceDataset
from pmmsynth.linear import LeastSquares, fit_least_squares
from pmmsynth.metrics import psnr
from pmmsynth.modality import Task
from pmmsynth.model import ModelCard, load_model
from pmmsynth.nets import PMMSynth
from pmmsynth.predict import predict, regression
from pmmsynth.store import Store
from pmmsynth.train import tiny, train
from pmmsynth.train.run import training_card
from pmmsynth.train.shrink import WEIGHTS, estimate
from pmmsynth.train.validate import Example, fixed_examples

QUIET = Reporter(quiet=True)
TASK = Task(("T1",), "T2")
CPU = torch.device("cpu")


class Beside(PMMSynth):
    """A network that errs by a multiple of what regression errs by: truth + factor * (truth - regression)."""

    def set(self, card: ModelCard, fits: LeastSquares, truth: torch.Tensor, factor: float) -> "Beside":
        self.channel = card.modalities.index("T2")
        line = regression(card, truth, TASK, tuple(fits.coefficients("A", ("T1",), "T2").tolist()))
        self.made = truth[:, self.channel] + factor * (truth[:, self.channel] - line)
        return self

    def forward(self, images, sources, dataset, targets):  # type: ignore[no-untyped-def]
        outputs = torch.zeros_like(images)
        outputs[:, self.channel] = self.made
        return outputs


@pytest.fixture
def parts(tmp_path: Path) -> tuple[ModelCard, list[Example], LeastSquares]:
    pair = ["T1", "T2"]
    store = make_store(tmp_path / "two", {"A": [("train", pair), ("train", pair), ("val", pair)]})
    card = training_card(store, tiny())
    validation = SliceDataset(list(store.cases("val")), modalities=card.modalities, dataset_ids={"A": 0})
    return card, fixed_examples(validation, (str(TASK),), card), fit_least_squares(store.cases("train"), QUIET)


@pytest.mark.parametrize(
    ("factor", "weight"),
    [
        (0.0, 1.0),  # the truth
        (-0.5, 1.0),  # half the error of regression, in the same direction: more than all of it would be better still
        (1.0, 0.5),  # as wrong as regression, the other way
        (4.0, 0.2),  # four times as wrong the other way
        (-2.0, 0.0),  # twice as wrong the same way
    ],
)
def test_weights_known_in_closed_form(
    parts: tuple[ModelCard, list[Example], LeastSquares], factor: float, weight: float
) -> None:
    card, (example,), fits = parts
    generator = Beside(modalities=2, width=4, residual_blocks=1, embedding=8).set(card, fits, example.images, factor)
    kept = estimate(generator, card, [example], fits, CPU, QUIET)
    if weight == 1.0:
        assert kept == {}
        return
    assert kept[str(TASK)].weight == pytest.approx(weight)
    assert kept[str(TASK)].regression["A"] == pytest.approx(fits.coefficients("A", ("T1",), "T2"))
    made = predict(
        generator,
        card.model_copy(update={"shrinkage": kept}),
        example.images,
        sources=("T1",),
        dataset="A",
        targets=("T2",),
    )
    if weight > 0:  # where the two errors cancel, the truth comes out, unless the network was clipped
        within = example.brain & (generator.made == generator.made.clamp(0, 1))
        error = (made[:, generator.channel] - example.images[:, generator.channel]) * within
        assert within.sum() > example.brain.sum() / 4
        assert error.abs().max() < 1e-5


def test_a_weight_is_applied_as_it_was_judged(parts: tuple[ModelCard, list[Example], LeastSquares]) -> None:
    """To a network far outside [0, 1], where its unclipped output would ask for another weight."""
    card, (example,), fits = parts
    generator = Beside(modalities=2, width=4, residual_blocks=1, embedding=8).set(card, fits, example.images, 1.0)
    truth = example.images[:, generator.channel].numpy()
    generator.made = torch.where(generator.made > 0.35, 8.0, generator.made)
    chosen = estimate(generator, card, [example], fits, CPU, QUIET)[str(TASK)]

    def score(weight: float) -> float:
        told = card.model_copy(update={"shrinkage": {str(TASK): chosen.model_copy(update={"weight": weight})}})
        made = predict(generator, told, example.images, sources=("T1",), dataset="A", targets=("T2",))
        return psnr(truth, (made[:, generator.channel] * example.brain).numpy())

    assert 0 < chosen.weight < 1
    assert max(WEIGHTS, key=score) == chosen.weight


def test_regression_keeps_its_digits_under_autocast() -> None:
    card = training_card_of_two()
    images = torch.rand(2, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        made = regression(card, images, TASK, (0.001, 0.999))
    assert made.dtype == torch.float32
    assert torch.allclose(made, 0.001 + 0.999 * images[:, 0], atol=1e-7)


def training_card_of_two() -> ModelCard:
    from model_phantoms import make_card, mean
    from pmmsynth.model import DatasetCard

    one = DatasetCard(id=0, name="A", modalities=("T1", "T2"), intensity={"T1": mean(1.0), "T2": mean(1.0)})
    return make_card(datasets=(one,), modalities=("T1", "T2"))


def test_a_run_estimates_it_once(store: Store, tmp_path: Path) -> None:
    model = train(store, tmp_path / "run", tiny(), reporter=QUIET)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    shrinkage = load_model(model)[1].shrinkage
    assert shrinkage, "two epochs of a tiny network are not better than regression everywhere"
    # the only validation case is of dataset A, with T1, T2 and FLAIR: nothing is known of ADC
    assert all("ADC" not in text for text in shrinkage)
    assert all(set(kept.regression) == {"A", "B"} for kept in shrinkage.values())
    assert train(store, tmp_path / "run", tiny(), reporter=QUIET) == model
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_on_the_validation_cases_no_task_is_below_regression(store: Store, tmp_path: Path) -> None:
    generator, card = load_model(train(store, tmp_path / "run", tiny(), reporter=QUIET))
    validation = SliceDataset(list(store.cases("val")), modalities=card.modalities, dataset_ids={"A": 0, "B": 1})
    fits = fit_least_squares(store.cases("train"), QUIET)
    (example,) = fixed_examples(validation, ("T1->T2", "T1+T2->FLAIR", "FLAIR->T1"), card)
    for task in example.tasks:
        channel = card.modalities.index(task.target)
        made = predict(generator, card, example.images, sources=task.sources, dataset="A", targets=(task.target,))[
            :, channel
        ]
        line = regression(card, example.images, task, tuple(fits.coefficients("A", task.sources, task.target).tolist()))
        truth = example.images[:, channel]
        errors = [((image.clamp(0, 1) * example.brain - truth) ** 2).mean().item() for image in (made, line)]
        assert errors[0] <= errors[1] * (1 + 1e-5)


def test_without_validation_cases_the_network_is_taken_as_it_is(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"A": [("train", ["T1", "T2"])]})
    assert load_model(train(store, tmp_path / "run", tiny(), reporter=QUIET))[1].shrinkage == {}
