"""Validation on fixed tasks and fixed slices, so that epochs and runs compare."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from pmmsynth.data import SliceDataset
from pmmsynth.metrics import psnr
from pmmsynth.modality import Task
from pmmsynth.model import ModelCard
from pmmsynth.nets import Generator
from pmmsynth.predict import predict
from pmmsynth.tensors import Images

SLICES_PER_CASE = 6


@dataclass(frozen=True)
class Validation:
    """PSNR in dB of the brain-masked synthesis, `paper-v1` on a few slices per case.

    Attributes:
        mean: Over all tasks of all datasets: what decides which weights are best.
        tasks: "dataset: task" to its mean over cases.
    """

    mean: float
    tasks: dict[str, float]


@dataclass(frozen=True)
class Example:
    """A few slices of one validation case, read when asked for, and its tasks.

    Attributes:
        dataset: Which the model is told.
        slices: Of all validation cases.
        samples: Which of them.
        tasks: All the case allows.
    """

    dataset: str
    slices: SliceDataset
    samples: tuple[int, ...]
    tasks: tuple[Task, ...]

    @property
    def images(self) -> Images:
        """In the model's channels."""
        return self.slices[self.samples].images

    @property
    def brain(self) -> torch.Tensor:
        """(slice, row, column), bool."""
        places = [self.slices.index[sample] for sample in self.samples]
        return torch.from_numpy(np.array(self.slices.cases[places[0][0]].brain()[[position for _, position in places]]))


def default_tasks(modalities: Sequence[str]) -> list[Task]:
    """Every target from all others, and from the first other."""
    tasks = []
    for target in modalities:
        others = tuple(m for m in modalities if m != target)
        tasks += [Task(sources, target) for sources in dict.fromkeys((others, others[:1])) if sources]
    return tasks


def fixed_examples(slices: SliceDataset, tasks: Sequence[str], card: ModelCard) -> list[Example]:
    """Evenly spaced slices of every case that allows one of `tasks` (or of the default ones), with those it allows.

    Tasks the model does not do are left out.
    """
    wanted = [Task.parse(t) for t in tasks]
    positions: dict[int, list[int]] = defaultdict(list)
    for sample, (number, _) in enumerate(slices.index):
        positions[number].append(sample)
    examples = []
    for number, samples in positions.items():
        case = slices.cases[number]
        has = tuple(m for m in case.record.modalities if m in slices.modalities)
        picked = tuple(samples[i] for i in np.linspace(0, len(samples) - 1, SLICES_PER_CASE).round().astype(int))
        chosen = [t for t in wanted or default_tasks(has) if {*t.sources, t.target} <= set(has) and card.can(t)]
        if chosen:
            examples.append(Example(case.record.dataset, slices, picked, tuple(chosen)))
    return examples


def synthesized(
    generator: Generator, card: ModelCard, example: Example, tasks: Sequence[Task], device: torch.device
) -> Iterator[tuple[Task, torch.Tensor]]:
    """Every task with its (slice, row, column), one pass for all targets of the same sources."""
    images = example.images
    for sources in dict.fromkeys(task.sources for task in tasks):
        together = [task for task in tasks if task.sources == sources]
        outputs = predict(
            generator,
            card,
            images,
            sources=sources,
            dataset=example.dataset,
            targets=tuple(task.target for task in together),
            device=device,
        )
        for task in together:
            yield task, outputs[:, card.modalities.index(task.target)]


def validate(generator: Generator, card: ModelCard, examples: Sequence[Example], device: torch.device) -> Validation:
    """Run every task of every example (at least one)."""
    generator.eval()
    scores: dict[str, list[float]] = defaultdict(list)
    for example in examples:
        images, brain = example.images, example.brain
        for task, made in synthesized(generator, card, example, example.tasks, device):
            truth = images[:, card.modalities.index(task.target)]
            score = psnr(truth.numpy(), (made * brain).numpy())
            scores[f"{example.dataset}: {task}"].append(score)
    generator.train()
    tasks = {name: fmean(values) for name, values in scores.items()}
    return Validation(fmean(tasks.values()), tasks)
