"""What PFM gains over several trainings: PMM-Synth against itself without PFM, each trained from several seeds.

Usage: python experiments/pfm_gain.py PAGE NAME=KEPT [NAME=KEPT ...]   (KEPT of experiments/kept.py)

A pure function of the scores kept; the start of the page is written by hand, in the file of that name beside this
script.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from kept import averaged, read_kept
from tables import DIGITS, OURS

from pmmsynth.atomic import write_text
from pmmsynth.evaluate import Score
from pmmsynth.evaluate.significance import Difference, Measure, compare, differences
from pmmsynth.evaluate.tables import rows
from pmmsynth.evaluate.tasks import MANY_TO_ONE, ONE_TO_ONE
from pmmsynth.metrics import PROTOCOL
from pmmsynth.verb import ending

WITHOUT = "w/o PFM"
TASKS = ONE_TO_ONE + MANY_TO_ONE
CAPTION = (
    f"PSNR in dB and SSIM under protocol `{PROTOCOL}`, networks alone. Differences are PMM-Synth minus {WITHOUT}, of "
    "scores averaged over the seeds case by case; brackets: 95 % bootstrap interval over cases, of one case none. p of "
    "the two-sided Wilcoxon test after Holm, over the tasks of a cohort."
)


def main(page: Path, cohorts: dict[str, Path]) -> None:
    """Write the page again."""
    text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
    parts = [section(name, kept) for name, kept in cohorts.items()]
    write_text(page, "\n\n".join([text, CAPTION, *parts]) + "\n")


def section(name: str, kept: Path) -> str:
    """All about one cohort."""
    seeds = {str(seed): chosen(scores) for seed, scores in read_kept(kept).items()}
    seeds = {seed: scores for seed, scores in seeds.items() if {s.method for s in scores} == {OURS, WITHOUT}}
    if not seeds:
        raise SystemExit(
            f"found no seed in {kept} with both {OURS} and {WITHOUT}; expected one at least; run comparison.py with "
            f'--only "{WITHOUT}, {OURS}", then kept.py'
        )
    mean = averaged(seeds.values())
    return f"## {name}\n\n{by_seed(seeds)}\n\n{by_task(mean)}\n\n{by_row(seeds, mean)}"


def chosen(scores: Sequence[Score]) -> list[Score]:
    """The two methods on the paper's tasks."""
    return [s for s in scores if s.method in (OURS, WITHOUT) and s.task in TASKS and s.protocol == PROTOCOL]


def by_seed(seeds: dict[str, list[Score]]) -> str:
    """Means over the rows (dataset and task) of each training, and over the trainings."""
    count = len(rows(next(iter(seeds.values()))))
    lines = [f"| mean of {count} rows | {' | '.join(f'seed {s}' for s in seeds)} | all |", _rule(1, len(seeds) + 1)]
    for measure, digits in DIGITS.items():
        table = {seed: rows(scores) for seed, scores in seeds.items()}
        means = {m: [fmean(r.cells[m].mean[measure] for r in t) for t in table.values()] for m in (OURS, WITHOUT)}
        for method, values in means.items():
            cells = " | ".join(f"{v:.{digits}f}" for v in (*values, fmean(values)))
            lines.append(f"| {method}, {measure.upper()} | {cells} |")
        gains = [a - b for a, b in zip(means[OURS], means[WITHOUT], strict=True)]
        cells = " | ".join(f"{v:+.{digits + 1}f}" for v in (*gains, fmean(gains)))
        lines.append(f"| gain, {measure.upper()} | {cells} |")
    return "\n".join(lines)


def by_task(mean: Sequence[Score]) -> str:
    """Each task over the cases of all datasets, and every case's mean over its tasks."""
    columns: dict[Measure, dict[str, Difference]] = {}
    for measure in DIGITS:
        pairs: dict[str, list[float]] = defaultdict(list)
        over: dict[tuple[str, str], list[float]] = defaultdict(list)
        for (dataset, case, task), gain in gains_of(mean, measure).items():
            pairs[task].append(gain)
            over[dataset, case].append(gain)
        columns[measure] = compare({task: np.array(pairs[task]) for task in TASKS if task in pairs})
        columns[measure] |= compare({"mean of a case's tasks": np.array([fmean(v) for v in over.values()])})
    lines = ["| task | cases | PSNR | p | SSIM | p |", _rule(1, 5)]
    for task, psnr in columns["psnr"].items():
        cells = [f"{_said(d, digits)} | {d.p:.2g}" for d, digits in ((psnr, 2), (columns["ssim"][task], 4))]
        lines.append(f"| {task} | {psnr.n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_row(seeds: dict[str, list[Score]], mean: Sequence[Score]) -> str:
    """Each task of each dataset, PSNR seed by seed, and the mean."""
    single = {seed: differences(scores, OURS) for seed, scores in seeds.items()}
    psnr, ssim = (differences(mean, OURS, measure=measure) for measure in DIGITS)
    lines = [f"| dataset | task | n | {' | '.join(f'seed {s}' for s in seeds)} | PSNR | SSIM |"]
    lines.append(_rule(2, len(seeds) + 3))
    for row in rows(mean):
        place = row.dataset, row.task, WITHOUT
        each = " | ".join(f"{found[place].mean:+.2f}" for found in single.values())
        cells = f"{each} | {_said(psnr[place], 2)} | {_said(ssim[place], 4)}"
        lines.append(f"| {row.dataset} | {row.task} | {row.n} | {cells} |")
    return "\n".join(lines)


def gains_of(scores: Sequence[Score], measure: Measure) -> dict[tuple[str, str, str], float]:
    """PMM-Synth minus itself without PFM, by (dataset, case, task)."""
    values = {(s.method, s.dataset, s.case, s.task): getattr(s, measure) for s in scores}
    places = [place for method, *place in values if method == OURS and (WITHOUT, *place) in values]
    return {(d, c, t): values[OURS, d, c, t] - values[WITHOUT, d, c, t] for d, c, t in places}


def _said(found: Difference, digits: int) -> str:
    interval = f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]" if found.n > 1 else ""
    return f"{found.mean:+.{digits}f}{interval}"


def _rule(left: int, right: int) -> str:
    return f"|{' --- |' * left}{' ---: |' * right}"


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in text for text in sys.argv[2:]):
        sys.exit(__doc__)
    places = dict(text.split("=", 1) for text in sys.argv[2:])
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]), {name: Path(place) for name, place in places.items()})))
