"""Fig. 2c over every training patient: each fold of them is held out in turn, by a cohort split anew.

Usage: python experiments/fig2c_crossvalidated.py COHORT OUT KEPT [--only 0 1] [--page docs/NAME.md]

The test cases of a small cohort are too few to tell variants apart. Here each part of its training patients is the
test cases of a cohort of its own, whose training cases are all others but those of validation. There the models that
synthesize and the networks that segment are trained as in fig2c_segmentation.py; what synthesizes a training case has
seen neither it nor any test case. What is there is not done again.

Per fold KEPT gets the scores of every case, foldN.csv, and how they were made, foldN.json. The page and its figure
follow from these alone; its start is written by hand, in the file of its name beside this script.
"""

import csv
import glob
import io
import tomllib
from collections.abc import Sequence
from pathlib import Path

import tomli_w
import tyro
from comparison import ENTRIES, runs, settings
from fig2c_segmentation import Study
from kept import csv_text
from pydantic import BaseModel, ConfigDict
from tyro.conf import OmitArgPrefixes, Positional

from pmmsynth.atomic import write_json, write_text
from pmmsynth.console import Reporter
from pmmsynth.evaluate.figures import save
from pmmsynth.intake.cohort import CohortFile
from pmmsynth.prepare import prepare
from pmmsynth.segment.regions import Target
from pmmsynth.segment.report import bars, groups, markdown
from pmmsynth.segment.score import RegionScore
from pmmsynth.segment.train import SegmentConfig
from pmmsynth.store import Fold, Store
from pmmsynth.train import train
from pmmsynth.verb import ending

COLUMNS = ("dataset", "case", "variant", "left_out", "region", "dice", "hd95_mm", "volume_ml", "truth_ml")
GENERATOR = "PMM-Synth"
INNER = 3
"""Models that synthesize training cases, each trained without a third of them."""


class Way(BaseModel):
    """All that decides the numbers of a fold besides the cohort and the code.

    Attributes:
        target: What is segmented.
        folds: Parts of the training patients.
        epochs: Of the models that synthesize.
        steps: Of each segmentation network.
        mixed_steps: Of the mixed one.
        width: Of each.
        matrix: Pixels in plane.
        inplane_mm: Pixel size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target = "glioma"
    folds: int = 3
    epochs: int = 8
    steps: int = 3000
    mixed_steps: int = 9000
    width: int = 32
    matrix: int = 64
    inplane_mm: float = 3.0

    def __str__(self) -> str:
        return (
            f"slices of {self.matrix} x {self.matrix} pixels of {self.inplane_mm:g} mm; {self.epochs} epochs of each "
            f"model that synthesizes; {self.steps} steps of each network, {self.mixed_steps} of the mixed one, width "
            f"{self.width}; seed 0"
        )


def main(
    cohort: Positional[Path],
    out: Positional[Path],
    kept: Positional[Path],
    way: OmitArgPrefixes[Way] = Way(),  # noqa: B008  # frozen
    only: tuple[int, ...] = (),
    jobs: int = 2,
    page: Path | None = None,
) -> None:
    """The whole experiment in `out`; the same call again does what is missing.

    Args:
        cohort: A cohort file, without sequences withheld.
        out: A folder per fold with its store, its models and its networks.
        kept: Such as results/NAME.
        way: How.
        only: Some of the folds, from 0.
        jobs: Cases prepared at a time.
        page: Such as docs/segmentation_crossvalidated.md, of all folds that are kept.
    """
    reporter = Reporter()
    grid = {"matrix": way.matrix, "inplane_mm": way.inplane_mm, "jobs": jobs, "reporter": reporter}
    networks = SegmentConfig(target=way.target, steps=way.steps, width=way.width)
    prepare(cohort, out / "store", **grid)
    for number in only or range(way.folds):
        folder = out / f"fold{number}"
        split_anew(cohort, Store(out / "store", fold=Fold(number, way.folds)), folder / "cohorts.toml")
        prepare(folder / "cohorts.toml", folder / "store", **grid)
        part = Store(folder / "store")
        model = generator(part, folder, way.epochs, reporter)
        inner = tuple(without(part, Fold(i, INNER), folder, way.epochs, reporter) for i in range(INNER))
        study = Study(part, model, inner, networks, way.mixed_steps)
        keep(study.rows(folder / "seed0", "test", reporter), way, kept, number)
    if page:
        write_page(kept, page)


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


def keep(rows: Sequence[RegionScore], way: Way, kept: Path, number: int) -> None:
    """Write the scores of a fold, to six decimals, and how they were made."""
    in_order = sorted(rows, key=lambda row: row.place)  # of one place the regions stay as they are
    write_text(kept / f"fold{number}.csv", csv_text(COLUMNS, in_order))
    write_json(kept / f"fold{number}.json", way.model_dump())


def read_kept(kept: Path) -> tuple[Way, list[str], list[RegionScore]]:
    """How it was done, the same for all folds, their names, and all scores."""
    paths = sorted(kept.glob("fold*.csv"))
    ways = [Way.model_validate_json(path.with_suffix(".json").read_bytes()) for path in paths]
    if len({*ways}) != 1:
        raise SystemExit(f"found {len(ways)} folds in {kept}, done in {len({*ways})} ways; expected some, done in one")
    fixed = {"split": "test", "network": "", "digest": ""}
    rows = [
        RegionScore.model_validate({**line, "hd95_mm": line["hd95_mm"] or None, **fixed})
        for path in paths
        for line in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    ]
    return ways[0], [path.stem.removeprefix("fold") for path in paths], rows


def write_page(kept: Path, page: Path) -> None:
    """The page of docs and its figure."""
    way, folds, rows = read_kept(kept)
    found = groups(rows)
    save(bars(found), page.parent / "figures" / f"{page.stem}.png")
    text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
    cases = len({(row.dataset, row.case) for row in rows})
    what = f"{cases} patients of {len(folds)} of {way.folds} folds ({', '.join(folds)}); {way}."
    write_text(page, f"{text}\n\n## Results\n\n{what}\n\n{markdown(found)}\n![bars](figures/{page.stem}.png)\n")


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
