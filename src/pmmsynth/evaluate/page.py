"""The report a person reads: one self-contained HTML page of an evaluation."""

import base64
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from statistics import fmean
from urllib.parse import unquote

from jinja2 import Environment
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import write_text
from pmmsynth.evaluate.compute import Compute
from pmmsynth.evaluate.floors import FLOORS
from pmmsynth.evaluate.pictures import Curves
from pmmsynth.evaluate.score import Score
from pmmsynth.evaluate.tables import Row, columns, means, rows
from pmmsynth.metrics import PROTOCOL, PROTOCOLS


def write_page(
    out: Path,
    scores: Sequence[Score],
    curves: Mapping[str, Curves],
    compute: Mapping[str, Compute],
    pictures: Sequence[Path],
    cases: str,
) -> Path:
    """Write `index.html` into the folder of an evaluation, with these pictures inside it.

    Args:
        out: The folder.
        scores: Of one split.
        curves: Of the training of methods.
        compute: What methods cost.
        pictures: `panel_*` and `grid_*`.
        cases: Which they are, in words.
    """
    tables = {p: rows(scores, p) for p in PROTOCOLS if any(s.protocol == p for s in scores)}
    names = columns(scores)
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        files("pmmsynth.evaluate").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        version=version("pmmsynth"),
        cases=cases,
        names=names,
        floors=FLOORS,
        primary=PROTOCOL,
        protocols=PROTOCOLS,
        tables={protocol: [*table, *means(table)] for protocol, table in tables.items()},
        overall={name: fmean(found) for name in names if (found := _psnr(tables[PROTOCOL], name))},
        compute=compute,
        curves=_drawn(curves),
        panels=[(p.stem.removeprefix("panel_"), embedded(p)) for p in pictures if p.stem.startswith("panel_")],
        grids=[(unquote(p.stem.removeprefix("grid_")), embedded(p)) for p in pictures if p.stem.startswith("grid_")],
    )
    page = out / "index.html"
    write_text(page, text)
    return page


def _psnr(table: Sequence[Row], name: str) -> list[float]:
    """Of a method in each row it has a cell in; none where no two methods share a case."""
    return [row.cells[name].mean["psnr"] for row in table if name in row.cells]


def _drawn(curves: Mapping[str, Curves]) -> str | None:
    """Validation PSNR over steps of every model; None if there is none."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for label, (steps, psnr) in (item for each in curves.values() for item in each.items()):
        axes.plot(steps, psnr, "o-", ms=3, label=label)
    if not curves:
        return None
    axes.set(xlabel="step", ylabel="validation PSNR (dB)")
    axes.legend(fontsize=7, ncols=2)
    return embedded_figure(figure)


def embedded(path: Path) -> str:
    """A picture as it stands in a page."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def embedded_figure(figure: Figure) -> str:
    """A figure as it stands in a page."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
