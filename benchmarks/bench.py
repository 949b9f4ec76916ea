"""How fast training and synthesis are on this machine, against the rate of their own convolutions.

Runs every measurement in a process of its own, one after the other, on an otherwise idle machine; takes about a quarter
of an hour on two cores. Finished measurements are kept in OUT and not repeated. Prints every point, writes the
table and the figure of docs/explanation/performance.md.

Usage: python benchmarks/bench.py OUT [--quick]
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.methods import METHODS, OURS

HERE = Path(__file__).parent
Row = dict[str, Any]


def points(quick: bool) -> list[Row]:
    """What is measured; `quick` leaves out the published width and the growth."""
    wanted: list[Row] = []
    for method in METHODS:
        for preset in ("small",) if quick else ("small", "paper"):
            full = {"full": True} if method == OURS else {}
            wanted.append({"kind": "train", "method": method, "preset": preset, "batch": 16, **full})
            wanted.append({"kind": "train", "method": method, "preset": preset, "batch": 1})
            wanted.append({"kind": "infer", "method": method, "preset": preset, "batch": 16, **full})
            wanted.append({"kind": "infer", "method": method, "preset": preset, "batch": 1})
    if not quick:
        first = {"method": OURS, "preset": "small"}
        wanted += [{"kind": "train", **first, "batch": batch} for batch in (2, 4, 8)]
        wanted += [{"kind": "train", **first, "batch": 4, "sources": sources} for sources in (1, 2, 3, 4, 5)]
        wanted += [{"kind": "infer", **first, "batch": batch} for batch in (2, 4, 8, 32)]
        wanted += [{"kind": "infer", **first, "batch": 16, "sources": sources} for sources in (1, 2, 4, 5)]
        wanted += [{"kind": "infer", **first, "batch": 16, "targets": targets} for targets in (2, 3)]
    return wanted


def measure(out: Path, wanted: list[Row]) -> list[Row]:
    """Every point, in order; what OUT holds already is taken from there."""
    file = out / "points.jsonl"
    done = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    rows = []
    for point in wanted:
        found = next((row for row in done if point.items() <= row.items() and _plain(row) == _plain(point)), None)
        if found is None:
            command = [sys.executable, str(HERE / "point.py"), json.dumps(point)]
            done_now = subprocess.run(command, capture_output=True, text=True, preexec_fn=_limit)
            if "not enough memory" in done_now.stderr:
                answer = json.dumps({**point, "too_large": True})
            else:
                done_now.check_returncode()
                answer = done_now.stdout.splitlines()[-1]
            found = json.loads(answer)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(answer + "\n")
        rows.append(found)
        print(_line(found), flush=True)
    return [row for row in rows if "too_large" not in row]


def _limit() -> None:
    """Refuse memory there is not, rather than have the kernel choose what to kill."""
    most = psutil.virtual_memory().available
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _value(row: Row, name: str) -> Any:
    """A setting of a row; those left out have their usual value."""
    return row.get(name, {"sources": 3, "targets": 1, "full": False}.get(name))


def _plain(row: Row) -> list[Any]:
    return [_value(row, name) for name in ("sources", "targets", "full")]


def _said(fixed: dict[str, int]) -> list[str]:
    return [f"{name} {value}" for name, value in fixed.items() if name != "targets"]


def _line(row: Row) -> str:
    what = f"{row['method']} {row['preset']:5} {row['kind']:5} batch {row['batch']:2}, {row.get('sources', 3)} sources"
    if "too_large" in row:
        return f"{what}: takes more memory than there is"
    text = f"{what}: {row['ms_per_slice']:7.1f} ms per slice, {row['peak_gb']:4.1f} GB"
    if "share" in row:
        text += f", {row['gflops']:.0f} of {row['ceiling_gflops']:.0f} GFLOP/s = {row['share']:.0%} of the ceiling"
    return text


def draw(rows: list[Row], path: Path) -> None:
    """Time per slice and memory over batch, sources and targets."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(2, 3)
    small = [row for row in rows if row["preset"] == "small"]
    panels = (("batch", {"sources": 3, "targets": 1}), ("sources", {"targets": 1}), ("targets", {"sources": 3}))
    measures = (("ms_per_slice", "ms per slice"), ("peak_gb", "peak GB"))
    for row_axes, (measured, label) in zip(axes, measures, strict=True):
        for axis, (over, held) in zip(row_axes, panels, strict=True):
            for kind, batch in (("train", 4), ("infer", 16)):
                fixed = held | ({} if over == "batch" else {"batch": batch})
                chosen = [r for r in small if r["kind"] == kind and all(_value(r, k) == v for k, v in fixed.items())]
                curve = sorted({_value(r, over): r[measured] for r in chosen}.items())
                if len(curve) > 1:
                    axis.plot(*zip(*curve, strict=True), "o-", label=f"{kind}, {', '.join(_said(fixed))}")
            axis.set(xlabel=over, ylabel=label, ylim=(0, None))
            axis.legend(fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def table(rows: list[Row]) -> str:
    """The points at batch 16 and 1 as Markdown."""
    lines = ["| method | preset | | batch | ms per slice | peak GB | GFLOP/s | ceiling | share |"]
    lines.append("|---|---|---|" + "---:|" * 6)
    for row in sorted(rows, key=lambda r: (r["method"], r["preset"], r["kind"], r["batch"])):
        if row["batch"] in (1, 16) and (_value(row, "sources"), _value(row, "targets")) == (3, 1):
            rates = [f"{row[k]:.0f}" if k in row else "" for k in ("gflops", "ceiling_gflops")]
            peak = f"{row['peak_gb']:.1f}"
            share = f"{row['share']:.0%}" if "share" in row else ""
            cells = [row["method"], row["preset"], row["kind"], row["batch"], f"{row['ms_per_slice']:.0f}"]
            lines.append(f"| {' | '.join(map(str, [*cells, peak, *rates, share]))} |")
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Put the table between its marks."""
    start, end = "<!-- written by benchmarks/bench.py -->", "<!-- end of benchmarks/bench.py -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(start)
    page.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main(out: Path, quick: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = measure(out, points(quick))
    docs = HERE.parent / "docs"
    draw(rows, docs / "figures" / "performance.png")
    write_page(docs / "explanation" / "performance.md", table(rows))
    print(f"table and figure: {docs / 'explanation' / 'performance.md'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--quick" in sys.argv)
