"""Does PFM tell datasets apart? What each id does to the features of a trained model, and what a wrong id costs.

Usage: python experiments/pfm_selectivity.py STORE RUN PAGE   (a run of PMM-Synth trained on the store)

PSNR is that of validation in training: evenly spaced slices of every case, pooled. The page's start is written by hand,
in the file of that name beside this script.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pmmsynth.atomic import replacing, write_text
from pmmsynth.case import Split
from pmmsynth.data import SliceDataset
from pmmsynth.evaluate.tasks import MANY_TO_ONE, ONE_TO_ONE
from pmmsynth.metrics import psnr
from pmmsynth.model import ModelCard, load_model
from pmmsynth.nets.generator import Generator
from pmmsynth.nets.modulation import DatasetEmbedding, Modulation
from pmmsynth.store import Store
from pmmsynth.train.validate import fixed_examples, synthesized
from pmmsynth.verb import ending

Matrix = NDArray[np.float64]
SPLITS_SHOWN: tuple[Split, ...] = ("train", "test")


def main(store: Store, run: Path, page: Path) -> None:
    """Write the page and its figure."""
    network, card = load_model(run)
    names = [dataset.name for dataset in card.datasets]
    told = {split: wrong_ids(store, network, card, split) for split in SPLITS_SHOWN}
    modulations = scales_and_shifts(network, len(names))
    places, shares = axes_of(modulations)
    figure = page.parent / "figures" / f"{page.stem}.png"
    with replacing(figure) as temporary:
        FigureCanvasAgg(drawn(names, told["test"], places, shares)).print_png(str(temporary))
    text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
    parts = [
        text,
        f"![selectivity](figures/{figure.name})",
        "## Before training",
        before_training(len(names)),
        "## After training",
        "Of what differs between the ids in all scales and shifts of the network (Eq. 2), on the axes of a principal "
        f"component analysis: {', '.join(f'{share:.1%}' for share in shares)}.",
        "| dataset | axis 1 | axis 2 |\n| --- | ---: | ---: |\n"
        + "\n".join(f"| {name} | {x:+.2f} | {y:+.2f} |" for name, (x, y) in zip(names, places, strict=True)),
        *(
            f"## Told another id, {split} cases\n\nPSNR in dB, mean over cases and the paper's tasks they have; the "
            f"diagonal is the truth.\n\n{table(names, told[split])}"
            for split in SPLITS_SHOWN
        ),
    ]
    write_text(page, "\n\n".join(parts) + "\n")


def wrong_ids(store: Store, network: Generator, card: ModelCard, split: Split) -> Matrix:
    """Mean PSNR of the cases of each dataset (row) when the model is told each id (column)."""
    names = [dataset.name for dataset in card.datasets]
    slices = SliceDataset(
        list(store.cases(split)), modalities=card.modalities, dataset_ids={d.name: d.id for d in card.datasets}
    )
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for example in fixed_examples(slices, [*ONE_TO_ONE, *MANY_TO_ONE], card):
        images, brain = example.images, example.brain
        for name in names:
            said = replace(example, dataset=name)
            for task, made in synthesized(network, card, said, said.tasks, torch.device("cpu")):
                truth = images[:, card.modalities.index(task.target)]
                found[example.dataset, name].append(psnr(truth.numpy(), (made * brain).numpy()))
    return np.array([[fmean(found[row, column]) for column in names] for row in names])


@torch.inference_mode()
def scales_and_shifts(network: Generator, datasets: int) -> Matrix:
    """(id, every gamma and beta of the network)."""
    (embedding,) = (part for part in network.modules() if isinstance(part, DatasetEmbedding))
    layers = [part for part in network.modules() if isinstance(part, Modulation)]
    codes = [embedding(torch.tensor(n)) for n in range(datasets)]
    return np.array([torch.cat([part for layer in layers for part in layer(code)]).double().numpy() for code in codes])


def axes_of(modulations: Matrix) -> tuple[Matrix, Matrix]:
    """Where each id is on the two main axes of what differs between ids, and the share of each axis."""
    centred = modulations - modulations.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return (left * sizes)[:, :2], (sizes**2 / (sizes**2).sum())[: len(modulations) - 1]


def before_training(datasets: int, seeds: Sequence[int] = range(20)) -> str:
    """How alike ids are to the layers that learn from them, mean over fresh embeddings.

    A linear layer h -> W h + b learns, under gradient descent, along the eigenvectors of h h' + 1 at their eigenvalues.
    """
    cosines, values = [], []
    for seed in seeds:
        torch.manual_seed(seed)
        embedding = DatasetEmbedding(width=64)
        with torch.inference_mode():
            inputs = [torch.nn.functional.silu(embedding(torch.tensor(n))).double().numpy() for n in range(datasets)]
        h = np.array(inputs)
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosines.append(float(np.mean(np.sum(unit[1:] * unit[:-1], axis=1))))
        values.append(np.linalg.eigvalsh(h @ h.T + 1)[::-1])
    rates = np.mean(values, axis=0)
    return (
        f"Cosine between what the scale-and-shift layers are given for neighbouring ids: {fmean(cosines):.3f} (mean "
        f"over {len(seeds)} fresh embeddings). Rates at which such a layer learns under gradient descent, for what "
        f"all ids have in common and then for what tells them apart: {', '.join(f'{rate:.2g}' for rate in rates)}."
    )


def table(names: Sequence[str], values: Matrix) -> str:
    """Rows: where the cases are from; columns: what the model is told; the best of a row in bold."""
    lines = [f"| cases of | {' | '.join(f'told {name}' for name in names)} |", f"| --- |{' ---: |' * len(names)}"]
    for name, row in zip(names, values, strict=True):
        best = max(f"{value:.2f}" for value in row)
        cells = [f"**{value:.2f}**" if f"{value:.2f}" == best else f"{value:.2f}" for value in row]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drawn(names: Sequence[str], told: Matrix, places: Matrix, shares: Matrix) -> Figure:
    """Gain or loss against the true id, and where the ids lie."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    gain = told - np.diag(told)[:, None]
    most = float(np.abs(gain).max()) or 1.0
    left.imshow(gain, cmap="RdBu", vmin=-most, vmax=most)
    for (row, column), value in np.ndenumerate(gain):
        shade = "white" if abs(value) > 0.6 * most else "black"
        left.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=9, color=shade)
    left.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="told", ylabel="held-out cases of")
    left.set_xticklabels(names)
    left.set_yticklabels(names)
    left.set_title("PSNR against being told the truth, dB")
    right.plot(*places.T, "o-", color="#4c78a8")
    for name, (x, y) in zip(names, places, strict=True):
        right.annotate(name, (x, y), textcoords="offset points", xytext=(6, 6))
    right.set(xlabel=f"axis 1 ({shares[0]:.0%})", ylabel=f"axis 2 ({shares[1]:.0%})")
    right.set_title("scales and shifts of each id, in the order of the cohort file")
    right.margins(0.15)
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Store(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))))
