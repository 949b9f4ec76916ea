"""Fig. 2c over every training patient: each fold of them is held out in turn, by a cohort split anew.

Usage: python experiments/fig2c_crossvalidated.py COHORT OUT [--folds 3] [--page docs/NAME.md]

The test cases of a small cohort are too few to tell variants apart. Here each part of its training patients is the
test cases of a cohort of its own, whose training cases are all others but those of validation. There the models that
synthesize and the networks that segment are trained as in fig2c_segmentation.py; what synthesizes a training case has
seen neither it nor any test case. What is there is not done again. --page writes a page of docs; its start is written
by hand, in the file of that name beside this script.
"""

import glob
import shutil
import tomllib
from pathlib import Path

import tomli_w
import tyro
from comparison import ENTRIES, runs, settings
from fig2c_segmentation import Study
from tyro.conf import Positional

from pmmsynth.atomic import replacing, write_text
from pmmsynth.console import Reporter
from pmmsynth.intake.cohort import CohortFile
from pmmsynth.prepare import prepare
from pmmsynth.segment.regions import Target
from pmmsynth.segment.report import write_report
from pmmsynth.segment.train import SegmentConfig
from pmmsynth.store import Fold, Store
from pmmsynth.train import train
from pmmsynth.verb import ending

GENERATOR = "PMM-Synth"
INNER = 3
"""Models that synthesize training cases, each trained without a third of them."""


def main(
    cohort: Positional[Path],
    out: Positional[Path],
    target: Target = "glioma",
    folds: int = 3,
    epochs: int = 8,
    steps: int = 3000,
    mixed_steps: int = 9000,
    width: int = 32,
    matrix: int = 64,
    inplane_mm: float = 3.0,
    jobs: int = 2,
    page: Path | None = None,
) -> None:
    """The whole experiment in `out`; the same call again does what is missing.

    Args:
        cohort: A cohort file, without sequences withheld.
        out: A folder per fold with its store, its models and its networks; table and figure over all in test/.
        target: What is segmented.
        folds: Parts of the training patients.
        epochs: Of the models that synthesize.
        steps: Of each segmentation network.
        mixed_steps: Of the mixed one.
        width: Of each.
        matrix: Pixels in plane.
        inplane_mm: Pixel size.
        jobs: Cases prepared at a time.
        page: Such as docs/segmentation_crossvalidated.md; the figure goes into figures/ beside it.
    """
    reporter, networks = Reporter(), SegmentConfig(target=target, steps=steps, width=width)
    grid = {"matrix": matrix, "inplane_mm": inplane_mm, "jobs": jobs, "reporter": reporter}
    prepare(cohort, out / "store", **grid)
    rows = []
    for number in range(folds):
        folder = out / f"fold{number}"
        split_anew(cohort, Store(out / "store", fold=Fold(number, folds)), folder / "cohorts.toml")
        prepare(folder / "cohorts.toml", folder / "store", **grid)
        part = Store(folder / "store")
        model = generator(part, folder, epochs, reporter)
        inner = tuple(without(part, Fold(i, INNER), folder, epochs, reporter) for i in range(INNER))
        rows += Study(part, model, inner, networks, mixed_steps).rows(folder / "seed0", "test", reporter)
    table = write_report(rows, out / "test").read_text(encoding="utf-8")
    print(table)
    if page:
        with replacing(page.parent / "figures" / f"{page.stem}.png") as figure:
            shutil.copyfile(out / "test" / "segmentation.png", figure)
        text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
        what = f"{folds} folds, {steps} steps of each network, {mixed_steps} of the mixed one, width {width}, seed 0."
        write_text(page, f"{text}\n\n## Results\n\n{what} {table}\n![bars](figures/{page.stem}.png)\n")


def split_anew(cohort: Path, store: Store, path: Path) -> None:
    """Write the cohort file with the test cases of the store's fold as such, and its former ones for training."""
    tables = tomllib.loads(cohort.read_text(encoding="utf-8-sig"))
    for table, entry in zip(tables["dataset"], CohortFile.read(cohort).datasets, strict=True):
        table["root"] = [str(root) for root in entry.roots(cohort.parent)]
        table["split"] = {
            split: [glob.escape(case.record.case) for case in store.cases(split, entry.name)]
            for split in ("val", "test")
        }
    write_text(path, tomli_w.dumps(tables))


def generator(store: Store, folder: Path, epochs: int, reporter: Reporter) -> Path:
    """The run folder of the model that synthesizes the fold's test cases."""
    (run,) = runs(store, folder / "generator", GENERATOR, epochs, 0, reporter)
    return run


def without(store: Store, fold: Fold, folder: Path, epochs: int, reporter: Reporter) -> Path:
    """The run folder of a model that has not learned from a part of the training patients."""
    run = folder / f"without{fold.number}"
    train(Store(store.root, fold=fold), run, settings(ENTRIES[GENERATOR], epochs, 0), reporter=reporter)
    return run


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
