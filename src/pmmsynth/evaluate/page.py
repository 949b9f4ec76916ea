"""The report a person reads: one self-contained HTML page of an evaluation."""

import base64
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from statistics import fmean

from jinja2 import Environment
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import write_text
from pmmsynth.evaluate.compute import Compute
from pmmsynth.evaluate.floors import FLOORS
from pmmsynth.evaluate.method import Method
from pmmsynth.evaluate.score import Score
from pmmsynth.evaluate.tables import columns, means, rows
from pmmsynth.metrics import PROTOCOL, PROTOCOLS
from pmmsynth.record import read_record


def write_page(
    out: Path, scores: Sequence[Score], methods: Mapping[str, Method], compute: Mapping[str, Compute], cases: str
) -> Path:
    """Write `index.html` into the folder of an evaluation, with every picture of `figures/` inside it.

    Args:
        out: The folder.
        scores: Of one split.
        methods: Those evaluated now, for their training curves.
        compute: What methods cost.
        cases: Which they are, in words.
    """
    tables = {p: rows(scores, p) for p in PROTOCOLS if any(s.protocol == p for s in scores)}
    names = columns(scores)
    pictures = sorted((out / "figures").glob("*.png"))
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
        overall={
            name: fmean(row.cells[name].mean["psnr"] for row in tables[PROTOCOL] if name in row.cells) for name in names
        },
        compute=compute,
        curves=_curves(methods),
        panels=[(p.stem.removeprefix("panel_"), embedded(p)) for p in pictures if p.stem.startswith("panel_")],
        grids=[(p.stem.removeprefix("grid_"), embedded(p)) for p in pictures if p.stem.startswith("grid_")],
    )
    page = out / "index.html"
    write_text(page, text)
    return page


def _curves(methods: Mapping[str, Method]) -> str | None:
    """Validation PSNR of every record of every method; None if there is none."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    drawn = 0
    for name, method in methods.items():
        for record in method.records:
            checks = [row for row in read_record(record) if "validation_psnr" in row] if record.is_file() else []
            label = name if len(method.records) == 1 else f"{name}, {record.parent.name}"
            axes.plot(
                [r["global_step"] for r in checks], [r["validation_psnr"] for r in checks], "o-", ms=3, label=label
            )
            drawn += len(checks)
    if not drawn:
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
