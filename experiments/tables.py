"""Tables 1 and 2 of the comparison with paired tests, and the ablation of Fig. 2d: pure functions of scores.jsonl.

Usage: python experiments/tables.py STORE OUT   (those of experiments/comparison.py)

`never_had.md` is of the sequences that no training case of a dataset had, though its test cases do.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from comparison import ENTRIES, never_had, run_folder
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing, write_text
from pmmsynth.evaluate import FLOORS, Score, read_scores
from pmmsynth.evaluate.significance import Difference, Measure, differences, intervals
from pmmsynth.evaluate.tables import Row, columns, markdown, rows
from pmmsynth.evaluate.tasks import MANY_TO_ONE, ONE_TO_ONE
from pmmsynth.metrics import PROTOCOL
from pmmsynth.store import Store

OURS = "PMM-Synth"
ABLATION = ("w/o PFM, per dataset", "w/o PFM", "PMM-Synth, B = 1", OURS, "PMM-Synth, B = 16")
"""Fig. 2d, from left to right; the usual batch of preset `small` is 4."""
DIGITS: dict[Measure, int] = {"psnr": 2, "ssim": 3}


def main(store: Path, out: Path) -> None:
    """Write everything again."""
    scores = over_seeds(out)
    main_columns = [s for s in scores if s.method not in ABLATION or s.method in (OURS, "w/o PFM")]
    for number, tasks in ((1, ONE_TO_ONE), (2, MANY_TO_ONE)):
        chosen = [s for s in main_columns if s.task in tasks]
        write_text(out / f"table{number}.md", f"{markdown(chosen)}\n{standing(chosen)}\n{against(chosen)}")
    write_text(out / "standing.md", standing([s for s in main_columns if s.task in (*ONE_TO_ONE, *MANY_TO_ONE)]))
    if missing := never_had(Store(store)):
        chosen = [s for s in main_columns if s.target in missing.get(s.dataset, ())]
        write_text(out / "never_had.md", f"{markdown(chosen)}\n{standing(chosen)}\n{against(chosen)}")
    with replacing(out / "fig2d.png") as temporary:
        FigureCanvasAgg(ablation(scores, out)).print_png(str(temporary))


def over_seeds(out: Path) -> list[Score]:
    """The scores of each case, averaged over the seeds that have it; methods in the order of ENTRIES."""
    found: dict[tuple[str, ...], list[Score]] = defaultdict(list)
    for path in sorted(out.glob("seed*/evaluation/scores.jsonl")):
        for score in read_scores(path):
            found[(*score.key, score.protocol)].append(score)
    order = list(ENTRIES)
    return sorted(
        (
            same[0].model_copy(update={m: fmean(getattr(s, m) for s in same) for m in ("psnr", "ssim", "mae")})
            for same in found.values()
        ),
        key=lambda s: order.index(s.method) if s.method in order else len(order),
    )


def against(scores: Sequence[Score]) -> str:
    """PMM-Synth minus each other method, row by row, with p values corrected over each table."""
    others = [name for name in columns(scores) if name != OURS]
    lines = []
    for measure, digits in DIGITS.items():
        found = differences(scores, OURS, measure=measure)
        lines += [
            f"{OURS} minus each method, {measure.upper()}, mean [95 % interval]; * where p < 0.05 by the paired "
            f"Wilcoxon test, corrected after Holm over the {len(found)} comparisons of this table.",
            "",
            f"| dataset | task | {' | '.join(others)} |",
            f"| --- | --- |{' ---: |' * len(others)}",
        ]
        for row in rows(scores):
            cells = [_said(found.get((row.dataset, row.task, other)), digits) for other in others]
            lines.append(f"| {row.dataset} | {row.task} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def standing(scores: Sequence[Score]) -> str:
    """In how many rows PMM-Synth is best, or near the best in either sense, and which methods are below a floor."""
    lines = []
    for measure in DIGITS:
        found = differences(scores, OURS, measure=measure)
        own = intervals(scores, measure=measure)
        table = [row for row in rows(scores) if OURS in row.cells]
        counts = []
        for floors, which in (((), "of the trained methods"), (FLOORS, "with the floors counted")):
            best = level = inside = 0
            for row in table:
                means = {n: c.mean[measure] for n, c in row.cells.items() if n not in FLOORS or n in floors}
                top = max(means, key=lambda name: means[name])
                best += top == OURS
                level += top != OURS and found[row.dataset, row.task, top].within
                inside += top != OURS and means[OURS] >= own[row.dataset, row.task, top][0]
            counts.append(
                f"{which} best in {best} of {len(table)} rows, in {level} more the interval of the difference to the "
                f"best includes 0, and in {inside} more its mean lies within the best one's own interval"
            )
        lines.append(f"- {measure.upper()}: {OURS} is {', '.join(counts)}. Below a floor: {below(table, measure)}.")
    return "\n".join(lines) + "\n"


def below(table: Sequence[Row], measure: Measure) -> str:
    """The methods that are worse than a floor, by name with the rows."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in table:
        means = {name: cell.mean[measure] for name, cell in row.cells.items()}
        floor = max(means[name] for name in FLOORS if name in means)
        for name, value in means.items():
            if name not in FLOORS and value < floor:
                found[name].append(f"{row.dataset} {row.task}")
    return "; ".join(f"{name} in {len(places)} ({', '.join(places)})" for name, places in found.items()) or "none"


def ablation(scores: Sequence[Score], out: Path) -> Figure:
    """Mean over rows of each variant, and the time of one epoch."""
    names = [name for name in ABLATION if name in columns(scores)]
    table = [row for row in rows([s for s in scores if s.method in names], PROTOCOL) if set(names) <= set(row.cells)]
    shown = [name.replace(", ", "\n").replace("w/o PFM", "w/o\nPFM") for name in names]
    figure = Figure(figsize=(15, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, measure in zip(axes, DIGITS, strict=False):
        values = [fmean(row.cells[name].mean[measure] for row in table) for name in names]
        axis.bar(shown, values, color="#4c78a8")
        spread = max(values) - min(values) or 1.0
        axis.set(
            title=f"{measure.upper()}, mean of {len(table)} rows",
            ylim=(min(values) - spread, max(values) + spread / 2),
        )
        axis.bar_label(axis.containers[0], [f"{v:.{DIGITS[measure]}f}" for v in values])
    times = [epoch_seconds(out, name) for name in names]
    axes[2].bar(shown, times, color="#f58518")
    axes[2].set(title="seconds per epoch", ylim=(0, 1.12 * max(times)))
    axes[2].bar_label(axes[2].containers[0], [f"{t:.0f}" for t in times])
    for axis in axes:
        axis.tick_params("x", labelsize=9)
    return figure


def epoch_seconds(out: Path, name: str) -> float:
    """Mean over seeds of the time all models of an entry take for one epoch, by the quickest tenth of their steps.

    Other work on the machine makes steps longer, never shorter, so these are the ones to compare.
    """
    found = []
    for seed in sorted(out.glob("seed*")):
        if runs := sorted(path.parent for path in run_folder(seed, name).glob("*/metrics.jsonl")):
            epochs = json.loads((runs[0] / "model" / "model.json").read_text(encoding="utf-8"))["training"]["epochs"]
            found.append(sum(map(undisturbed, runs)) / epochs)
    return fmean(found)


def undisturbed(run: Path) -> float:
    """Seconds all steps of a run would take at the pace of its quickest tenth."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    paces = [row["seconds_per_step"] for row in rows if "seconds_per_step" in row]
    return float(np.quantile(paces, 0.1)) * max(row["global_step"] for row in rows)


def _said(found: Difference | None, digits: int) -> str:
    if found is None:
        return "–"
    star = "*" if found.p < 0.05 else ""
    return f"{found.mean:+.{digits}f}{star} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
