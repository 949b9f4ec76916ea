"""Fig. 3 of the paper: one slice of a case in all sets, the synthesized sequences marked. It unblinds."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing
from pmmsynth.store import PreparedCase
from pmmsynth.study.files import IMAGES, KeyRecord
from pmmsynth.study.images import TOP, read_levels
from pmmsynth.study.sets import SETS

MONTAGES = "montages"
MARK = "#ff8c1a"
INCH, DPI = 1.5, 100


def write_montage(key_folder: Path, out: Path, key: KeyRecord, case: PreparedCase, name: str) -> None:
    """Write the picture of a case into the folder of the key, unless it is there.

    Rows are the sets, columns the sequences, all in the same window. The slice is the one with most lesion, or most
    brain where there is no lesion. What is synthesized has an orange frame and says so.
    """
    path = key_folder / MONTAGES / f"{name}.png"
    if path.is_file():
        return
    folders = {shown.set: out / IMAGES / folder for folder, shown in key.images.items() if shown.case == name}
    brain, lesion = np.asarray(case.brain()), np.asarray(case.lesion())
    position = int((lesion if lesion.any() else brain).sum((1, 2)).argmax())
    rows, columns = (slice(line.min(), line.max() + 1) for line in np.nonzero(brain.any(0)))
    names = SETS[0].real
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(INCH * len(names), INCH * len(SETS)), dpi=DPI, facecolor="black")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(SETS), len(names), gridspec_kw={"wspace": 0.06, "hspace": 0.06}, squeeze=False)
        figure.subplots_adjust(left=0.06, right=0.99, bottom=0.01, top=0.94)
        for each, line in zip(SETS, grid, strict=True):
            line[0].set_ylabel(each.name, color="white", fontsize=9)
            for sequence, axes in zip(names, line, strict=True):
                levels = read_levels(folders[each.name] / f"{sequence}.nii")[position, rows, columns]
                axes.imshow(levels, cmap="gray", vmin=0, vmax=TOP)
                axes.set(xticks=[], yticks=[])
                made = sequence in each.synthesized
                for spine in axes.spines.values():
                    spine.set(color=MARK, linewidth=2, visible=made)
                if made:
                    axes.text(0.03, 0.03, "synthesized", color=MARK, fontsize=6.5, transform=axes.transAxes)
        for sequence, axes in zip(names, grid[0], strict=True):
            axes.set_title(sequence, color="white", fontsize=9, pad=3)
        with replacing(path) as temporary:
            figure.savefig(temporary)
