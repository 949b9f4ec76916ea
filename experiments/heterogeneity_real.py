"""What telling the network the dataset can gain on real cases: cross-validated over the training patients.

Usage: python experiments/heterogeneity_real.py STORE OUT PAGE [--folds 3] [--epochs 8]

In turn each part of the training patients is held out and scored; the test cases of the store are never touched. As in
heterogeneity.py: linear regression fitted on each dataset and on all together, PMM-Synth with and without PFM, and
PMM-Synth told another dataset than the true one. What is there is not done again. The start of PAGE is written by hand,
in experiments/heterogeneity_real.md.
"""

from dataclasses import replace
from pathlib import Path

import tyro
from comparison import alone, run_folder
from heterogeneity import columns, gains
from pfm_gain import by_task, chosen
from tyro.conf import Positional

from pmmsynth.atomic import write_text
from pmmsynth.console import Reporter
from pmmsynth.evaluate import PAPER, Score, read_scores, score
from pmmsynth.evaluate.tables import markdown
from pmmsynth.infer import Synthesizer
from pmmsynth.store import Fold, Store
from pmmsynth.train import small, train
from pmmsynth.verb import ending

NETWORKS = {"w/o PFM": "PMM-Synth w/o PFM", "PMM-Synth": "PMM-Synth"}


def main(
    store: Positional[Path], out: Positional[Path], page: Positional[Path], folds: int = 3, epochs: int = 8
) -> None:
    """Do what is missing, then write the page."""
    reporter, cohort = Reporter(), Store(store)
    parts = [Fold(number, folds) for number in range(folds)]
    scores = [
        row for part in parts for row in held_out(Store(store, fold=part), out / f"fold{part.number}", epochs, reporter)
    ]
    cases = len({(row.dataset, row.case) for row in scores})
    what = (
        f"{cases} patients in {folds} folds, each network trained for {epochs} epochs on the others, seed 0, slices of "
        f"{cohort.record.matrix} x {cohort.record.matrix} pixels of {cohort.record.inplane_mm:g} mm."
    )
    texts = [
        Path(__file__).with_suffix(".md").read_text(encoding="utf-8").strip(),
        f"## Results\n\n{what}\n\n{gains(scores)}",
        "PMM-Synth minus w/o PFM, per task over the patients of all datasets; brackets: 95 % bootstrap interval, p of "
        f"the two-sided Wilcoxon test after Holm.\n\n{by_task(chosen(scores))}",
        markdown(scores).strip(),
    ]
    write_text(page, "\n\n".join(texts) + "\n")


def held_out(store: Store, folder: Path, epochs: int, reporter: Reporter) -> list[Score]:
    """Train both networks without the patients of a fold and score them on these."""
    networks = {}
    for column, method in NETWORKS.items():
        run = run_folder(folder, column)
        train(store, run, replace(small(method).lasting(epochs), shrink=False), reporter=reporter)
        networks[column] = alone(Synthesizer.load(run))
    scored = folder / "scores.jsonl"
    score(
        store,
        columns(store, store, networks, reporter),
        out=scored,
        split="test",
        tasks=[str(task) for task in PAPER],
        reporter=reporter,
    )
    return read_scores(scored)


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
