"""The few real stroke cases as a picture: what a segmenter of simulated strokes marks, all real and one synthesized.

Usage: python experiments/stroke_look.py STORE SEGMENTER MODEL PICTURE

STORE is of experiments/stroke.toml, SEGMENTER the network on all sequences that experiments/fig2c_segmentation.py
trained, MODEL the synthesis model. One row per case, the slice with most of the stroke, where that is known, else with
most brain; one or two cases are something to look at and no number.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pmmsynth.atomic import replacing
from pmmsynth.evaluate import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.segment.score import inputs
from pmmsynth.segment.segmenter import load_segmenter, segment
from pmmsynth.segment.slices import brain_slices
from pmmsynth.store import PreparedCase, Store
from pmmsynth.verb import ending

FOUND, TRUTH = "#4cc2ff", "#ff9f1c"
TOP = 0.7
"""Upper end of the grey scale, of [0, 1]; the lower is 0."""


def main(store: Path, segmenter: Path, model: Path, picture: Path) -> None:
    """Draw every case that has all sequences of the segmenter."""
    network, card = load_segmenter(segmenter)
    cohort = Store(store)
    method = Method.of([Synthesizer.load(model)], [model], cohort)
    cases = [case for case in cohort.cases() if set(card.modalities) <= set(case.record.modalities)]
    columns = 2 * len(card.modalities)
    figure = Figure(figsize=(2 * columns, 2.25 * len(cases)), facecolor="black", layout="constrained")
    for row, case in zip(figure.subplots(len(cases), columns, squeeze=False), cases, strict=True):
        real = inputs(case, card.modalities, "", method=None)
        found = segment(network, real)[:, 0].numpy()
        truth = np.asarray(case.lesion())[brain_slices(case)]
        chosen = int((truth if truth.any() else real[:, 0].numpy() > 0).sum((1, 2)).argmax())
        for axis, name, image in zip(row, card.modalities, real[chosen].numpy(), strict=False):
            show(axis, image, f"{name}, real", found[chosen], truth[chosen])
        for axis, name in zip(row[len(card.modalities) :], card.modalities, strict=True):
            made = inputs(case, card.modalities, name, method)
            marked = segment(network, made)[:, 0].numpy()[chosen]
            image = made[chosen, card.modalities.index(name)].numpy()
            show(axis, image, f"{name}, synthesized", marked, truth[chosen])
        label(row, case)
    with replacing(picture) as temporary:
        FigureCanvasAgg(figure)
        figure.savefig(temporary, dpi=110, facecolor="black")


def show(axis: Any, image: NDArray[np.float32], title: str, found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    """One slice with what is marked, and what belongs to the stroke where that is known."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=TOP)
    for mask, colour in ((truth, TRUTH), (found, FOUND)):
        if mask.any():
            axis.contour(mask, levels=[0.5], colors=colour, linewidths=0.9)
    axis.set_title(title, color="white", fontsize=8)
    axis.axis("off")


def label(row: Sequence[Any], case: PreparedCase) -> None:
    """The case's name at the start of its row."""
    row[0].text(0.02, 0.02, case.record.case, color="white", fontsize=7, transform=row[0].transAxes)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(*map(Path, sys.argv[1:]))))
