"""One self-contained HTML page of a demo run: what was learned, the table, the pictures."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel as nib
import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pmmsynth.atomic import write_text
from pmmsynth.console import clock
from pmmsynth.evaluate import Score
from pmmsynth.evaluate.page import embedded, embedded_figure
from pmmsynth.evaluate.tables import Row, columns, means, rows
from pmmsynth.infer import Written
from pmmsynth.infer.naming import sidecar_path
from pmmsynth.record import read_record
from pmmsynth.volume import Volume, read_volume


@dataclass(frozen=True)
class Stage:
    """One command of the run and how long it took."""

    command: str
    seconds: float

    @property
    def time(self) -> str:
        return clock(self.seconds)


def write_page(
    path: Path, folder: Path, scores: Sequence[Score], written: Sequence[Written], stages: Sequence[Stage]
) -> Path:
    """Write the page with every picture inside it.

    Args:
        path: The HTML file.
        folder: The demo's folder: contact sheets, run and figures are taken from it.
        scores: All rows of the evaluation.
        written: What was synthesized for the test cases.
        stages: What was run.
    """
    table = rows(scores)
    names = columns(scores)
    template = Environment(autoescape=True).from_string(
        files("pmmsynth.demo").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        version=version("pmmsynth"),
        stages=stages,
        total=clock(sum(s.seconds for s in stages)),
        names=names,
        table=table + means(table),
        verdicts=_verdicts(table, names),
        overall=_means_of(table, names),
        curve=embedded_figure(_curve(folder / "run" / "metrics.jsonl")),
        gallery=[_gallery(w) for w in _one_per_dataset(written)],
        panels=[
            (p.stem.removeprefix("panel_"), embedded(p)) for p in sorted(folder.glob("evaluation/figures/panel_*"))
        ],
        sheets=[(p.stem, embedded(p)) for p in sorted(folder.glob("simulated/*.png"))],
    )
    write_text(path, text)
    return path


def _means_of(table: Sequence[Row], names: Sequence[str]) -> dict[str, float]:
    """Mean PSNR over all tasks, per method."""
    return {n: fmean(row.cells[n].mean["psnr"] for row in table if n in row.cells) for n in names}


def _verdicts(table: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """Per dataset the mean PSNR over its tasks, for the model and for each floor."""
    by_dataset = defaultdict(list)
    for row in table:
        by_dataset[row.dataset].append(row)
    return [
        {"dataset": dataset, "n": max(row.n for row in group), "means": _means_of(group, names)}
        for dataset, group in by_dataset.items()
    ]


def _curve(record: Path) -> Figure:
    """Losses over steps and validation PSNR over epochs."""
    kept = read_record(record)
    steps, checks = [r for r in kept if "generator" in r], [r for r in kept if "validation_psnr" in r]
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    loss, quality = figure.subplots(1, 2)
    for name in ("synthesis", "reconstruction"):
        loss.plot([r["global_step"] for r in steps], [r[name] for r in steps], label=f"L1, {name}")
    loss.set(xlabel="step", ylabel="mean absolute error, summed", yscale="log")
    loss.legend(frameon=False)
    quality.plot([r["global_step"] for r in checks], [r["validation_psnr"] for r in checks], "o-")
    quality.set(xlabel="step", ylabel="validation PSNR (dB)")
    return figure


def _one_per_dataset(written: Sequence[Written]) -> list[Written]:
    """Per dataset the case for which most was made."""
    by_dataset: dict[str, list[Written]] = defaultdict(list)
    for one in written:
        if one.new + one.kept:
            by_dataset[one.case.dataset].append(one)
    return [max(group, key=lambda w: len(w.new + w.kept)) for group in by_dataset.values()]


def _gallery(written: Written) -> dict[str, Any]:
    """One slice of what a patient has beside what was made, from the NIfTI files as written."""
    case = written.case
    outputs = written.new + written.kept
    targets = [json.loads(sidecar_path(p).read_text(encoding="utf-8"))["Target"] for p in outputs]
    place = _most_lesion(case.lesion) if case.lesion else None
    pictures = [(m, False, _axial(read_volume(p), place)) for m, p in case.images.items()]
    pictures += [(m, True, _axial(read_volume(p), place)) for m, p in zip(targets, outputs, strict=True)]
    figure = Figure(figsize=(1.9 * len(pictures), 2.3), layout="constrained", facecolor="black")
    for axis, (name, synthetic, picture) in zip(
        figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True
    ):
        top = float(np.percentile(picture[picture > 0], 99.5)) if (picture > 0).any() else 1.0
        axis.imshow(picture, cmap="gray", vmin=0, vmax=top)
        axis.set_title(
            f"{name} synthetic" if synthetic else name, color="orange" if synthetic else "white", fontsize=10
        )
        axis.set_axis_off()
    caption = f"{case.dataset}, {case.id}: {', '.join(targets)} made from {', '.join(case.images)}"
    return {"caption": caption, "image": embedded_figure(figure)}


def _most_lesion(path: Path) -> NDArray[np.float64] | None:
    """World position of the middle of the axial slice with most lesion."""
    lesion = read_volume(path, constant_ok=True)
    axis = _axial_axis(lesion.affine)
    areas = (lesion.data > 0).sum(axis=tuple(a for a in range(3) if a != axis))
    if not areas.any():
        return None
    index = (np.array(lesion.data.shape) - 1) / 2
    index[axis] = int(areas.argmax())
    return lesion.affine[:3, :3] @ index + lesion.affine[:3, 3]


def _axial(acquired: Volume, place: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """The axial slice at a world position (the middle one without), nose up, patient's right on the left."""
    image = nib.as_closest_canonical(nib.Nifti1Image(acquired.data, acquired.affine))
    volume = np.asarray(image.dataobj)
    at = volume.shape[2] // 2
    if place is not None:
        at = int(np.clip(round((np.linalg.inv(image.affine) @ [*place, 1])[2]), 0, volume.shape[2] - 1))
    return volume[::-1, ::-1, at].T


def _axial_axis(affine: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
