"""Tables of scores, Markdown for reading and CSV for computing: pure functions of the rows."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pmmsynth.evaluate.floors import FLOORS
from pmmsynth.evaluate.score import Score
from pmmsynth.metrics import PROTOCOL, PROTOCOLS
from pmmsynth.modality import Task

MEASURES = ("psnr", "ssim", "mae")
DIGITS = {"psnr": 2, "ssim": 3, "mae": 4}
DASH = "–"


@dataclass(frozen=True)
class Cell:
    """Mean and standard deviation over cases (ddof 1; None for a single case) of each measure."""

    mean: Mapping[str, float]
    std: Mapping[str, float | None]


@dataclass(frozen=True)
class Row:
    """One task of one dataset. `n` counts the cases that every method with a cell was scored on; no other counts."""

    dataset: str
    task: str
    n: int
    cells: Mapping[str, Cell]


def columns(scores: Iterable[Score]) -> list[str]:
    """Methods in order of appearance, floors last."""
    names = list(dict.fromkeys(s.method for s in scores))
    return [n for n in names if n not in FLOORS] + [n for n in FLOORS if n in names]


def rows(scores: Iterable[Score], protocol: str = PROTOCOL) -> list[Row]:
    """One row per dataset and task, one-to-one tasks first, over the cases all methods of the row share."""
    found: dict[tuple[str, str], dict[str, dict[str, Score]]] = defaultdict(lambda: defaultdict(dict))
    for s in scores:
        if s.protocol == protocol:
            found[s.dataset, s.task][s.method][s.case] = s
    result = []
    for (dataset, task), methods in found.items():
        shared = sorted(set.intersection(*(set(cases) for cases in methods.values())))
        if shared:
            cells = {name: _cell([cases[c] for c in shared]) for name, cases in methods.items()}
            result.append(Row(dataset, task, len(shared), cells))
    order = list(dict.fromkeys(row.dataset for row in result))
    return sorted(result, key=lambda r: (order.index(r.dataset), len(Task.parse(r.task).sources)))


def means(table: Sequence[Row]) -> list[Row]:
    """Per task that several datasets have, and over all rows, the mean of the rows' means.

    Only methods with a cell in each of those rows get one; `n` counts rows, and there is no standard deviation.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        by_task[row.task].append(row)
    groups = [(task, group) for task, group in by_task.items() if len(group) > 1]
    if len(table) > 1:
        groups.append(("all tasks", list(table)))
    result = []
    for label, group in groups:
        names = [n for n in group[0].cells if all(n in row.cells for row in group)]
        cells = {n: Cell({m: fmean(r.cells[n].mean[m] for r in group) for m in MEASURES}, {}) for n in names}
        result.append(Row("mean", label, len(group), cells))
    return result


def markdown(scores: Sequence[Score], protocol: str = PROTOCOL) -> str:
    """A captioned table: PSNR / SSIM as mean ± standard deviation over cases, best in bold, floors at the right."""
    names = columns(s for s in scores if s.protocol == protocol)
    own, floors = [n for n in names if n not in FLOORS], [n for n in names if n in FLOORS]
    heads = ["dataset", "task", "n", *own, *(["‖"] if own and floors else []), *floors]
    table = rows(scores, protocol)
    lines = [
        f"PSNR (dB) / SSIM, mean ± standard deviation over n cases. Protocol `{protocol}`: {PROTOCOLS[protocol]}. "
        "Mean rows: mean of the rows above, n counts rows. Bold: best of the row, floors (right of ‖) included.",
        "",
        _line(heads),
        _line(["---", "---", "---:", *("---" for _ in heads[3:])]),
    ]
    for row in [*table, *means(table)]:
        texts = _texts(row)
        lines.append(_line([row.dataset, row.task, str(row.n), *(texts.get(h, _blank(h)) for h in heads[3:])]))
    return "\n".join(lines) + "\n"


def csv_text(scores: Sequence[Score]) -> str:
    """One line per protocol, dataset, task and method, with every measure unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["protocol", "dataset", "task", "method", "n", *(f"{m}_{k}" for m in MEASURES for k in ("mean", "std"))]
    )
    for protocol in (p for p in PROTOCOLS if any(s.protocol == p for s in scores)):
        for row in rows(scores, protocol):
            for name in columns(scores):
                if cell := row.cells.get(name):
                    values = [value for m in MEASURES for value in (cell.mean[m], cell.std.get(m))]
                    writer.writerow([protocol, row.dataset, row.task, name, row.n, *values])
    return out.getvalue()


def _cell(scores: Sequence[Score]) -> Cell:
    values = {m: [getattr(s, m) for s in scores] for m in MEASURES}
    spread = {m: stdev(v) if len(v) > 1 else None for m, v in values.items()}
    return Cell({m: fmean(v) for m, v in values.items()}, spread)


def _texts(row: Row) -> dict[str, str]:
    """Method to "28.81 ± 1.52 / 0.823 ± 0.031"; equal after rounding means equally best."""
    parts: dict[str, list[str]] = {name: [] for name in row.cells}
    for measure in ("psnr", "ssim"):
        digits = DIGITS[measure]
        shown = {name: f"{cell.mean[measure]:.{digits}f}" for name, cell in row.cells.items()}
        best = max((float(text) for text in shown.values()), default=None)
        for name, cell in row.cells.items():
            spread = cell.std.get(measure)
            text = shown[name] if spread is None else f"{shown[name]} ± {spread:.{digits}f}"
            parts[name].append(f"**{text}**" if float(shown[name]) == best and len(shown) > 1 else text)
    return {name: " / ".join(texts) for name, texts in parts.items()}


def _blank(head: str) -> str:
    return "" if head == "‖" else DASH


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)  # the name of a method may have any letter
    return f"| {' | '.join(escaped)} |"
