"""Pictures during training: for one validation case per dataset, every target from all others, or the first of them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing
from pmmsynth.modality import Task
from pmmsynth.model import ModelCard
from pmmsynth.nets import Generator
from pmmsynth.predict import predict
from pmmsynth.train.validate import Example

WHITE = 0.6
"""The value shown as white: the brain mean is 0.25, so this leaves room for lesions."""


def write_samples(
    path: Path, generator: Generator, card: ModelCard, examples: Sequence[Example], device: torch.device
) -> None:
    """Per dataset a row of truths above one of syntheses: from all other modalities or, one-to-one, from the first."""
    first = {example.dataset: example for example in reversed(examples)}
    rows = [first[d.name] for d in card.datasets if d.name in first]
    figure = Figure(figsize=(2 * len(card.modalities), 4.2 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots(2 * max(len(rows), 1), len(card.modalities), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    generator.eval()
    for row, example in enumerate(rows):
        middle = len(example.samples) // 2
        images, brain = example.images[middle : middle + 1], example.brain[middle]
        given = {m for task in example.tasks for m in (*task.sources, task.target)}
        for column, target in enumerate(card.modalities):
            others = tuple(m for m in card.modalities if m in given and m != target)
            if others and not card.can(Task(others, target)):
                others = others[:1]
            if target not in given or not others:
                continue
            made = predict(
                generator,
                card,
                images,
                sources=others,
                dataset=example.dataset,
                targets=(target,),
                device=device,
            )
            pictures = (images[0, column], made[0, column] * brain)
            for offset, picture in enumerate(pictures):
                axes[2 * row + offset, column].imshow(picture.numpy(), cmap="gray", vmin=0, vmax=WHITE)
            axes[2 * row, column].set_title(f"{example.dataset} {target}", fontsize=8)
    generator.train()
    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
