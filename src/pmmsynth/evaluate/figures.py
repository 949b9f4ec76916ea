"""Panels of syntheses with their error maps (Fig. 2a, 2b) and heat maps over source sets; Agg canvas, no pyplot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pmmsynth.atomic import replacing
from pmmsynth.evaluate.floors import FLOORS
from pmmsynth.evaluate.score import Score
from pmmsynth.evaluate.tables import rows
from pmmsynth.metrics import PROTOCOL, psnr, ssim
from pmmsynth.modality import Task, ordered

DPI = 150
ERROR_MAX = 0.3
LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM"}

Slice = NDArray[np.floating]


@dataclass(frozen=True)
class PanelRow:
    """One task on one slice.

    Attributes:
        label: Such as the dataset.
        task: What was made from what.
        inputs: The source slices in the task's order.
        truth: The target slice.
        made: Method to its slice.
        lesion: Its outline is drawn on the truth.
    """

    label: str
    task: Task
    inputs: Sequence[Slice]
    truth: Slice
    made: Mapping[str, Slice]
    lesion: NDArray[np.bool_] | None = field(default=None)


def panel(panel_rows: Sequence[PanelRow]) -> Figure:
    """Inputs, truth, then every method; below each synthesis its absolute error on one shared scale.

    Truth and syntheses of a row share one grey window; the numbers under a synthesis are of the slice shown.
    """
    methods = list(dict.fromkeys(name for row in panel_rows for name in row.made))
    inputs = max(len(row.inputs) for row in panel_rows)
    n_rows, n_columns = 2 * len(panel_rows), inputs + 1 + len(methods)
    figure = _figure(1.5 * n_columns + 0.9, 1.62 * n_rows + 0.35, "black")
    grid = figure.add_gridspec(
        n_rows, n_columns, left=0.35 / figure.get_figwidth(), right=1 - 0.75 / figure.get_figwidth(),
        top=1 - 0.3 / figure.get_figheight(), bottom=0.05 / figure.get_figheight(), wspace=0.03, hspace=0.14,
    )  # fmt: skip
    errors = None
    for i, row in enumerate(panel_rows):
        box = _box(row.truth)
        top = float(np.percentile(row.truth[row.truth > 0], 99.8)) if (row.truth > 0).any() else 1.0
        first = inputs - len(row.inputs)
        for j, (name, image) in enumerate(zip(row.task.sources, row.inputs, strict=True)):
            axes = figure.add_subplot(grid[2 * i, first + j])
            own = float(np.percentile(image[image > 0], 99.8)) if (image > 0).any() else 1.0
            _grey(axes, image[box], own, f"input {name}")
        axes = figure.add_subplot(grid[2 * i, inputs])
        _grey(axes, row.truth[box], top, f"true {row.task.target}")
        if row.lesion is not None and row.lesion[box].any():
            axes.contour(row.lesion[box], levels=[0.5], colors="#ffd24a", linewidths=0.8)
        caption = figure.add_subplot(grid[2 * i + 1, : inputs + 1])
        caption.axis("off")
        caption.text(0.98, 0.56, f"{row.label}\n{str(row.task).replace('->', ' → ')}", color="white", fontsize=9,
                     ha="right", va="center", linespacing=1.5)  # fmt: skip
        caption.text(0.98, 0.28, "absolute error", color="#aaaaaa", fontsize=8, ha="right", va="center")
        for j, name in enumerate(methods, start=inputs + 1):
            if name not in row.made:
                continue
            made = row.made[name]
            _grey(figure.add_subplot(grid[2 * i, j]), made[box], top, name)
            axes = figure.add_subplot(grid[2 * i + 1, j])
            errors = axes.imshow(np.abs(made - row.truth)[box], cmap="inferno", vmin=0, vmax=ERROR_MAX)
            _bare(axes)
            likeness = ssim(row.truth[None], made[None])
            axes.set_title(f"{psnr(row.truth, made):.2f} dB / {likeness:.3f}", color="white", fontsize=8, pad=2.5)
    if errors is not None:
        width, height = figure.get_size_inches()
        tall = min(0.7, 4 / height)
        place = (1 - 0.62 / width, 0.5 - tall / 2, 0.12 / width, tall)
        bar = figure.colorbar(errors, cax=figure.add_axes(place), extend="max")
        bar.set_label("absolute error", color="white", fontsize=8)
        bar.ax.tick_params(colors="white", labelsize=7)
        bar.outline.set_edgecolor("#666666")
    return figure


def heat_map(
    scores: Sequence[Score], method: str, dataset: str, protocol: str = PROTOCOL, *, gain: bool = False
) -> Figure:
    """Mean PSNR and SSIM for every source set (rows, as dots) and target (columns) of a dataset.

    Args:
        scores: Of a grid evaluation.
        method: Whose.
        dataset: Which.
        protocol: Which rows of the scores count.
        gain: Show the difference to the best floor of each cell instead.
    """
    table = [r for r in rows([s for s in scores if s.dataset == dataset], protocol) if method in r.cells]
    tasks = {Task.parse(r.task): r for r in table}
    targets = ordered(t.target for t in tasks)
    names = ordered(m for t in tasks for m in (*t.sources, t.target))
    sets = sorted({t.sources for t in tasks}, key=lambda s: (len(s), [names.index(m) for m in s]))
    dots, width = 0.2 * len(names), 0.52 * len(targets)
    figure = _figure(dots + 2 * width + 2.3, 0.19 * len(sets) + 1.25, "white")
    w, h = figure.get_figwidth(), figure.get_figheight()
    bottom, height = 0.3 / h, 0.19 * len(sets) / h
    _dots(figure.add_axes((0.15 / w, bottom, dots / w, height)), sets, names)
    for k, measure in enumerate(LABELS):
        values = np.full((len(sets), len(targets)), np.nan)
        for task, row in tasks.items():
            value = row.cells[method].mean[measure]
            if gain:
                value -= max((c.mean[measure] for n, c in row.cells.items() if n in FLOORS), default=np.nan)
            values[sets.index(task.sources), targets.index(task.target)] = value
        left = (0.15 + dots + 0.15 + k * (width + 0.95)) / w
        axes = figure.add_axes((left, bottom, width / w, height))
        _heat(figure, axes, values, targets, measure, gain)
    what = f"{method} minus best floor" if gain else method
    counts = {r.n for r in table}
    n = "–".join(str(c) for c in sorted({min(counts), max(counts)})) if counts else "0"
    figure.text(0.15 / w, 1 - 0.08 / h, f"{dataset}: {what}", fontsize=10, va="top", weight="bold")
    figure.text(0.15 / w, 1 - 0.30 / h, f"protocol {protocol}, mean over n = {n} cases", fontsize=8, va="top")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, complete or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor=figure.get_facecolor())


def _heat(figure: Figure, axes: Any, values: Slice, targets: Sequence[str], measure: str, gain: bool) -> None:
    if gain:
        finite = values[np.isfinite(values)]
        reach = max(float(np.abs(finite).max(initial=0)), {"psnr": 1.0, "ssim": 0.02}[measure])  # noise stays pale
        image = axes.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    else:
        image = axes.imshow(values, cmap="viridis", aspect="auto")
    digits = {"psnr": "+.2f" if gain else ".1f", "ssim": "+.3f" if gain else ".3f"}[measure]
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(
                j, i, f"{value:{digits}}", ha="center", va="center", fontsize=6.5, color="white" if dark else "black"
            )
    axes.set_xticks(range(len(targets)), targets, fontsize=7.5)
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_facecolor("#eeeeee")
    axes.set_xlabel(("Δ " if gain else "") + LABELS[measure], fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    left, bottom, width, height = axes.get_position().bounds
    inch = 1 / figure.get_figwidth()
    place = (left + width + 0.06 * inch, bottom, 0.09 * inch, height)
    bar = figure.colorbar(image, cax=figure.add_axes(place))
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.outline.set_visible(False)


def _dots(axes: Any, sets: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """One row per source set: a filled dot where the sequence is given."""
    for i, members in enumerate(sets):
        given = [names.index(m) for m in members]
        rest = [j for j in range(len(names)) if j not in given]
        axes.scatter(rest, [i] * len(rest), s=14, color="#dddddd", linewidths=0)
        axes.scatter(given, [i] * len(given), s=14, color="#222222", linewidths=0)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_xticks(range(len(names)), names, fontsize=7, rotation=60, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_xlabel("given", fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _figure(width: float, height: float, background: str) -> Figure:
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width, height), dpi=DPI, facecolor=background)
    FigureCanvasAgg(figure)
    return figure


def _grey(axes: Any, image: Slice, top: float, title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=top)
    axes.set_title(title, color="white", fontsize=8.5, pad=2.5)
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _box(image: Slice, margin: int = 4) -> tuple[slice, slice]:
    """The square around what is not background."""
    found = np.argwhere(image > 0)
    if not found.size:
        return slice(None), slice(None)
    low, high = found.min(0), found.max(0) + 1
    half = int((high - low).max()) // 2 + margin
    centre = (low + high) // 2
    row, column = (slice(max(int(c) - half, 0), int(c) + half) for c in centre)
    return row, column
