"""After training: how far to trust the network in each task, against regression, judged on the validation cases.

Where little can be learned from few patients, a network that explains its training cases better than linear regression
may do worse on new ones. y = r + w (network - r) with w from the validation cases keeps it from losing to r.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from lightning_fabric import Fabric

from pmmsynth.console import Reporter
from pmmsynth.data import SliceDataset
from pmmsynth.linear import LeastSquares, fit_least_squares
from pmmsynth.metrics import psnr
from pmmsynth.modality import Task, all_tasks
from pmmsynth.model import CARD, ModelCard, Shrinkage, load_model, save_model
from pmmsynth.nets import Generator
from pmmsynth.predict import regression
from pmmsynth.store import Store
from pmmsynth.train.validate import Example, fixed_examples, synthesized

WEIGHTS = tuple(i / 10 for i in range(10, -1, -1))
"""From the network alone to regression alone; of equal ones the first is taken."""


def shrink_model(folder: Path, store: Store, validation: SliceDataset, fabric: Fabric, reporter: Reporter) -> None:
    """Add the shrinkage to a model folder that has none yet."""
    generator, card = load_model(folder)
    if card.shrinkage is not None:
        return
    examples = fixed_examples(validation, [str(task) for task in all_tasks(card.modalities)], card)
    fits = fit_least_squares(store.cases("train"), reporter)
    with fabric.autocast():
        shrinkage = estimate(generator.to(fabric.device), card, examples, fits, fabric.device, reporter)
    save_model(folder, generator, card.model_copy(update={"shrinkage": shrinkage}))
    weights = {text: kept.weight for text, kept in shrinkage.items()}
    count = sum(map(card.can, all_tasks(card.modalities)))
    reporter.say(f"{len(weights)} of {count} tasks drawn towards regression: {folder / CARD}", weights=weights)


def estimate(
    generator: Generator,
    card: ModelCard,
    examples: Sequence[Example],
    fits: LeastSquares,
    device: torch.device,
    reporter: Reporter,
) -> dict[str, Shrinkage]:
    """Per task the weight with the highest mean PSNR over the validation cases of all datasets.

    Tasks are left out where that is the network alone, where no validation case allows them, and where no training
    case does, so that there is nothing to fit.
    """
    scores: dict[Task, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    with reporter.progress("weighing against regression", len(examples)) as advance:
        for example in examples:
            for task, measured in _measure(generator, card, example, fits, device).items():
                for weight, value in measured.items():
                    scores[task][weight].append(value)
            advance(example.dataset)
    chosen = {task: max(WEIGHTS, key=lambda w: fmean(measured[w])) for task, measured in scores.items()}
    return {
        str(task): Shrinkage(
            weight=chosen[task], regression={d.name: _coefficients(fits, d.name, task) for d in card.datasets}
        )
        for task in all_tasks(card.modalities)
        if chosen.get(task, 1.0) < 1.0
    }


def _measure(
    generator: Generator, card: ModelCard, example: Example, fits: LeastSquares, device: torch.device
) -> dict[Task, dict[float, float]]:
    """PSNR of every weight in every task of one validation case that can be fitted."""
    measured: dict[Task, dict[float, float]] = {}
    images, brain = example.images, example.brain
    able = [task for task in example.tasks if fits.having("", (*task.sources, task.target))]
    for task, made in synthesized(generator, card, example, able, device):
        truth = images[:, card.modalities.index(task.target)].numpy()
        line = regression(card, images, task, _coefficients(fits, example.dataset, task))
        measured[task] = {
            weight: psnr(truth, (line.lerp(made, weight).clamp(0, 1) * brain).numpy()) for weight in WEIGHTS
        }
    return measured


def _coefficients(fits: LeastSquares, dataset: str, task: Task) -> tuple[float, ...]:
    return tuple(fits.coefficients(dataset, task.sources, task.target).tolist())
