"""A contact sheet of one dataset: a row per case, a column per modality, the true lesion outlined in the last."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing
from pmmsynth.simulate.layout import Layout
from pmmsynth.volume import Volume, read_volume


def write_sheet(path: Path, layout: Layout, root: Path, cases: list[str]) -> None:
    """Draw the slice with most lesion of each case.

    Args:
        path: PNG to write.
        layout: Of the dataset.
        root: The dataset's folder.
        cases: Names of the cases to draw.
    """
    columns = [*layout.images, "lesion"]
    figure = Figure(figsize=(1.6 * len(columns), 1.95 * len(cases) + 0.3), facecolor="black")
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    axes = figure.subplots(len(cases), len(columns), squeeze=False)
    for case, row in zip(cases, axes, strict=True):
        _draw_case(row, layout, root, case)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], facecolor="black")
        axis.spines[:].set_visible(False)
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(name, color="white", fontsize=9)
    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))


def _draw_case(row: Sequence[Axes], layout: Layout, root: Path, case: str) -> None:
    lesion = read_volume(layout.mask(root, case), constant_ok=True)
    k = int((lesion.data > 0).sum(axis=(0, 1)).argmax())
    height = _height(lesion, k)
    on_grid = {}
    for axis, name in zip(row, layout.images, strict=False):
        file = layout.image(root, case, name)
        if file.is_file():
            volume = read_volume(file)
            if volume.grid.same_as(lesion.grid):
                on_grid[name] = volume
            _show(axis, volume, k if name in on_grid else _nearest(volume, height))
    best = next(name for name in ("FLAIR", "DWI", "T2", *on_grid) if name in on_grid)
    _show(row[-1], on_grid[best], k)
    if (lesion.data > 0).any():
        row[-1].contour(lesion.data[:, :, k].T > 0, levels=[0.5], colors=["#ff5050"], linewidths=0.8)
    row[0].set_ylabel(case, color="white", fontsize=6)


def _show(axis: Axes, volume: Volume, k: int) -> None:
    """One axial slice with rows from anterior to posterior; every layout stores L or R, posterior, superior."""
    brain = volume.data != 0
    window = float(np.percentile(volume.data[brain], 99.5))
    axis.imshow(volume.data[:, :, k].T, cmap="gray", vmin=0, vmax=window, interpolation="nearest")
    left, right = np.flatnonzero(brain.any(axis=(1, 2)))[[0, -1]]
    top, bottom = np.flatnonzero(brain.any(axis=(0, 2)))[[0, -1]]
    axis.set(xlim=(left - 3, right + 3), ylim=(bottom + 3, top - 3))


def _height(volume: Volume, k: int) -> float:
    """World z of the middle of slice `k`."""
    i, j = (np.array(volume.data.shape[:2]) - 1) / 2
    return float((volume.affine @ [i, j, k, 1])[2])


def _nearest(volume: Volume, height: float) -> int:
    """The slice whose middle is closest to world z."""
    return int(np.argmin([abs(_height(volume, k) - height) for k in range(volume.data.shape[2])]))
