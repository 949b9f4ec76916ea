"""Contact sheets: a few prepared cases of a dataset at a glance, one PNG."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing
from pmmsynth.store import PreparedCase

MOST_CASES = 8
BRIGHTEST = 0.6


def contact_sheet(cases: Sequence[PreparedCase], modalities: Sequence[str], path: Path) -> None:
    """Rows are the first cases, columns the modalities: the slice with most lesion, else with most brain.

    Radiological: the patient's left on the right, nose up. Lesions are outlined.
    """
    shown = cases[:MOST_CASES]
    size = 1.6
    figure = Figure(figsize=(size * len(modalities) + 0.4, size * len(shown) + 0.3), dpi=110, facecolor="black")
    axes = figure.subplots(len(shown), len(modalities), squeeze=False)
    for row, case in zip(axes, shown, strict=True):
        lesion = case.lesion()
        area = lesion.sum(axis=(1, 2))
        k = int(np.argmax(area if area.any() else case.record.brain_fraction))
        images = dict(zip(case.record.modalities, case.images(), strict=True))
        across, down, _ = case.record.prepared.grid().spacing
        for axis, name in zip(row, modalities, strict=True):
            axis.set(xticks=[], yticks=[], facecolor="black")
            if name in images:
                axis.imshow(
                    images[name][k].astype(np.float32), cmap="gray", vmin=0, vmax=BRIGHTEST, aspect=down / across
                )
                if lesion[k].any():
                    axis.contour(lesion[k], levels=[0.5], colors="tab:red", linewidths=0.6)
            else:
                axis.text(0.5, 0.5, "absent", color="gray", ha="center", va="center", transform=axis.transAxes)
        row[0].set_ylabel(case.record.case, color="white", fontsize=6)
    for axis, name in zip(axes[0], modalities, strict=True):
        axis.set_title(name, color="white", fontsize=8)
    figure.subplots_adjust(0.03, 0.01, 0.99, 0.95, wspace=0.02, hspace=0.02)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # no font has the letters of all names
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png")
