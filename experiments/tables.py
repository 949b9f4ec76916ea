"""Tables 1 and 2 of the comparison with paired tests, and the ablation of Fig. 2d: pure functions of what was kept.

Usage: python experiments/tables.py KEPT   (that of experiments/kept.py)

`by_task.md` takes the cases of all datasets together; `never_had.md` is of the sequences that no training case of a
dataset had, though its test cases do.
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from kept import over_seeds, read_done
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import replacing, write_text
from pmmsynth.evaluate import FLOORS, Score
from pmmsynth.evaluate.significance import Difference, Measure, differences, intervals
from pmmsynth.evaluate.tables import Row, columns, markdown, rows
from pmmsynth.evaluate.tasks import MANY_TO_ONE, ONE_TO_ONE
from pmmsynth.metrics import PROTOCOL
from pmmsynth.modality import Task
from pmmsynth.verb import ending

OURS = "PMM-Synth"
ABLATION = ("w/o PFM, per dataset", "w/o PFM", "PMM-Synth, B = 1", OURS, "PMM-Synth, B = 16", "w/o shortcut")
"""Fig. 2d, from left to right, and what we added to the network; the usual batch of preset `small` is 4."""
DIGITS: dict[Measure, int] = {"psnr": 2, "ssim": 3}


def main(kept: Path) -> None:
    """Write everything again."""
    scores, parts = over_seeds(kept), tables(kept)
    for name in ("standing", "by_task", "table1", "table2", "never_had"):
        if name in parts:
            write_text(kept / f"{name}.md", parts[name])
    if {s.method for s in scores} & {*ABLATION}:
        with replacing(kept / "fig2d.png") as temporary:
            FigureCanvasAgg(ablation(scores, epoch_seconds(kept))).print_png(str(temporary))


def tables(kept: Path) -> dict[str, str]:
    """Every table by its name, as Markdown; `never_had` only if there is such a sequence.

    Of the paper's tasks, if the cohort has any of them; else of all that were scored.
    """
    scores = [s for s in over_seeds(kept) if s.method not in ABLATION or s.method in (OURS, "w/o PFM")]
    paper = of_the_paper(scores)
    found = {"standing": standing(compared(paper)), "by_task": _with_verdict(pooled(paper))}
    for number in (1, 2):
        found[f"table{number}"] = _with_verdict([s for s in paper if min(len(Task.parse(s.task).sources), 2) == number])
    missing = {name: part.never_had for done in read_done(kept).values() for name, part in done.datasets.items()}
    if any(missing.values()):
        found["never_had"] = _with_verdict([s for s in scores if s.target in missing.get(s.dataset, ())])
    return found


def of_the_paper(scores: Sequence[Score]) -> list[Score]:
    """Those of the paper's tasks; all of them if there are none."""
    return [s for s in scores if s.task in (*ONE_TO_ONE, *MANY_TO_ONE)] or list(scores)


def compared(scores: Sequence[Score]) -> list[Score]:
    """Those of the cases that every method of a row has: means, tests and counts are over the same ones."""
    cases: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for score in scores:
        cases[score.dataset, score.task][score.method].add(score.case)
    shared = {place: set.intersection(*methods.values()) for place, methods in cases.items()}
    return [s for s in scores if s.case in shared[s.dataset, s.task]]


def pooled(scores: Sequence[Score]) -> list[Score]:
    """The same scores as of one dataset."""
    return [s.model_copy(update={"dataset": "all", "case": f"{s.dataset}/{s.case}"}) for s in scores]


def epoch_seconds(kept: Path) -> dict[str, float]:
    """Per method the time of an epoch, mean over the seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for done in read_done(kept).values():
        for name, cost in done.methods.items():
            found[name].append(cost.epoch)
    return {name: fmean(each) for name, each in found.items()}


def against(scores: Sequence[Score]) -> str:
    """PMM-Synth minus each other method, row by row, with p values corrected over each table."""
    others = [name for name in columns(scores) if name != OURS]
    lines = []
    for measure, digits in DIGITS.items():
        found = differences(scores, OURS, measure=measure)
        lines += [
            f"{OURS} minus each method, {measure.upper()}, mean [95 % interval, of one case none]; * where p < 0.05 by "
            f"the paired Wilcoxon test, corrected after Holm over the {len(found)} comparisons of this table, which "
            "fewer than six cases cannot have. All is over the cases of these trainings, nothing says how much another "
            "training would differ; an interval of two or three cases is from the lowest to the highest, too narrow.",
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
    """In how many rows each method is best, how near PMM-Synth is where it is not, and which are below a floor."""
    lines = []
    for measure in DIGITS:
        found = differences(scores, OURS, measure=measure)
        own = intervals(scores, measure=measure)
        table = [row for row in rows(scores) if OURS in row.cells]
        counts = []
        for floors, which in (((), "of the trained methods"), (FLOORS, "with the floors counted")):
            best: Counter[str] = Counter()
            level = inside = 0
            for row in table:
                means = {n: c.mean[measure] for n, c in row.cells.items() if n not in FLOORS or n in floors}
                top = max(means, key=lambda name: means[name])
                best[top] += 1
                if top != OURS:
                    level += found[row.dataset, row.task, top].within
                    inside += means[OURS] >= own[row.dataset, row.task, top][0]
            counts.append(
                f"best {which} in {len(table)} rows: {', '.join(f'{n} {c}' for n, c in best.most_common())}; where it "
                f"is another, the interval of {OURS}'s difference to it includes 0 in {level}, and {OURS}'s mean lies "
                f"within the own interval of that one in {inside}"
            )
        lines.append(f"- {measure.upper()}: {'. '.join(c[0].upper() + c[1:] for c in counts)}.")
        lines.append(f"  Below a floor: {below(table, measure)}.")
    return "\n".join(lines) + "\n"


def below(table: Sequence[Row], measure: Measure) -> str:
    """The methods that are worse than a floor, by name with the rows; a row without floors has none below."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in table:
        means = {name: cell.mean[measure] for name, cell in row.cells.items()}
        floor = max((means[name] for name in FLOORS if name in means), default=-math.inf)
        for name, value in means.items():
            if name not in FLOORS and value < floor:
                found[name].append(f"{row.dataset} {row.task}")
    return "; ".join(f"{name} in {len(places)} ({', '.join(places)})" for name, places in found.items()) or "none"


def ablation(scores: Sequence[Score], seconds: Mapping[str, float]) -> Figure:
    """Mean over the rows of both tables of each variant, and the time of one epoch."""
    names = [name for name in ABLATION if name in columns(scores) and name in seconds]
    own = [s for s in of_the_paper(scores) if s.method in names]
    table = [row for row in rows(own, PROTOCOL) if set(names) <= set(row.cells)]
    shown = [name.replace(", ", "\n").replace("w/o ", "w/o\n") for name in names]
    figure = Figure(figsize=(17, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, measure in zip(axes, DIGITS, strict=False):
        values = [fmean(row.cells[name].mean[measure] for row in table) for name in names]
        axis.plot(shown, values, "o", color="#4c78a8", markersize=9)  # bars would have to begin at 0
        axis.set(title=f"{measure.upper()}, mean of {len(table)} rows")
        axis.margins(x=0.1, y=0.25)
        for place, value in enumerate(values):
            label = f"{value:.{DIGITS[measure]}f}"
            axis.annotate(label, (place, value), (0, 9), textcoords="offset points", ha="center")
    times = [seconds[name] for name in names]
    axes[2].bar(shown, times, color="#f58518")
    axes[2].set(title="seconds per epoch", ylim=(0, 1.12 * max(times)))
    axes[2].bar_label(axes[2].containers[0], [f"{t:.0f}" for t in times])
    for axis in axes:
        axis.tick_params("x", labelsize=8)
    return figure


def _with_verdict(scores: Sequence[Score]) -> str:
    scores = compared(scores)
    return f"{markdown(scores)}\n{standing(scores)}\n{against(scores)}"


def _said(found: Difference | None, digits: int) -> str:
    if found is None:
        return "–"
    star = "*" if found.p < 0.05 else ""
    interval = f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]" if found.n > 1 else ""
    return f"{found.mean:+.{digits}f}{star}{interval}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]))))
