"""Do synthesized sequences help to find lesions (Fig. 2c)? Trains and evaluates what is missing, then table and bars.

For each sequence: all real; that one synthesized from the others, for the same network; a network trained without it.
Besides, the first two for a network that learned from synthesized sequences too and is told which they are; with
--folds each training case is synthesized for it by a model that did not learn from this case. Of several seeds the
scores of each case are averaged.

Usage: python experiments/fig2c_segmentation.py STORE RUN OUT --target glioma
       python experiments/fig2c_segmentation.py STORE RUN OUT --target lesion --dataset ISLES

Whatever is there already is not done again; table and bars follow from the rows alone (segment/report.py).
--page writes a page of docs with both; its start is written by hand, in the file of that name beside this script.
"""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import tyro
from tyro.conf import Positional, UseAppendAction

from pmmsynth.atomic import replacing, write_text
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.segment.regions import Target
from pmmsynth.segment.report import write_report
from pmmsynth.segment.score import RegionScore, Segmented, evaluate_segmenter, read_rows
from pmmsynth.segment.train import SegmentConfig, train_segmenter
from pmmsynth.store import Store
from pmmsynth.verb import ending


def main(
    store: Positional[Path],
    model: Positional[Path],
    out: Positional[Path],
    target: Target = "glioma",
    dataset: UseAppendAction[tuple[str, ...]] = (),
    folds: UseAppendAction[tuple[Path, ...]] = (),
    steps: int = 1000,
    mixed_steps: int | None = None,
    width: int = 32,
    seeds: tuple[int, ...] = (0,),
    split: Split = "test",
    page: Path | None = None,
) -> None:
    """The whole experiment in `out`; the same call again does what is missing.

    Args:
        store: What prepare wrote, without sequences withheld.
        model: A run folder of pmmsynth train.
        out: A folder per seed with a run folder per network and the rows; table and figure over all in a folder of the
            split.
        target: What is segmented.
        dataset: Only these datasets of the store.
        folds: Run folders of pmmsynth train --fold, one per fold, to mix in; without them the model itself.
        steps: Of each network.
        mixed_steps: Of the mixed one, which does the work of all the others, if it has more.
        width: Of each network.
        seeds: Of the networks; each seed has its own.
        split: Which cases count; `val` to choose by.
        page: Such as docs/segmentation_glioma.md; the figure goes into figures/ beside it.
    """
    cohort, reporter = Store(store, dataset), Reporter()
    found = []
    for seed in seeds:
        settings = SegmentConfig(target=target, steps=steps, width=width, seed=seed)
        study = Study(cohort, model, tuple(folds), settings, mixed_steps or steps)
        found.append(study.rows(out / f"seed{seed}", split, reporter))
    table = write_report(averaged(found), out / split).read_text(encoding="utf-8")
    print(table)
    if page:
        with replacing(page.parent / "figures" / f"{page.stem}.png") as figure:
            shutil.copyfile(out / split / "segmentation.png", figure)
        text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
        mixed = f", {mixed_steps} of the mixed one" if mixed_steps else ""
        what = f"{steps} steps of each network{mixed}, width {width}, {said(seeds)}."
        write_text(page, f"{text}\n\n## Results\n\n{what} {table}\n![bars](figures/{page.stem}.png)\n")


@dataclass(frozen=True)
class Study:
    """The networks of one seed and their scores.

    Attributes:
        cohort: Without sequences withheld.
        model: What synthesizes the sequences of the cases that are scored.
        folds: Models to mix in, each case by one that did not learn from it; without them `model`.
        settings: Of each network.
        mixed_steps: Of the mixed one.
    """

    cohort: Store
    model: Path
    folds: tuple[Path, ...]
    settings: SegmentConfig
    mixed_steps: int

    def train(self, folder: Path, name: str, reporter: Reporter) -> None:
        """One network: "full", "without_" and a sequence, or "mixed"."""
        config = replace(self.settings, left_out=name.removeprefix("without_") if name.startswith("without_") else "")
        if name == "mixed":
            config = replace(config, steps=self.mixed_steps)
        synthesis = (self.folds or (self.model,)) if name == "mixed" else ()
        train_segmenter(self.cohort, folder / name, config, models=synthesis, reporter=reporter)

    def rows(self, folder: Path, split: Split, reporter: Reporter) -> list[RegionScore]:
        """Train and score what is missing in a folder; all its scores."""
        names, path = self.cohort.record.modalities, folder / f"{split}.jsonl"
        for network in ("full", *(f"without_{name}" for name in names), "mixed"):
            self.train(folder, network, reporter)
            whole(evaluate_segmenter(self.cohort, folder / network, path, split=split, reporter=reporter))
        for name in names:
            for network in ("full", "mixed"):
                given = {"model": self.model, "left_out": name, "split": split, "reporter": reporter}
                whole(evaluate_segmenter(self.cohort, folder / network, path, **given))
        return read_rows(path)


def whole(done: Segmented) -> None:
    """End here if a case failed: a table over the others would pass for one over all."""
    if done.exit_code:
        raise SystemExit(done.exit_code)


def averaged(seeds: Sequence[list[RegionScore]]) -> list[RegionScore]:
    """The mean of each case's rows over the seeds; a distance over those seeds that have one."""
    same: dict[tuple[str, ...], list[RegionScore]] = defaultdict(list)
    for rows in seeds:
        for row in rows:
            same[(*row.place, row.region)].append(row)
    result = []
    for rows in same.values():
        distances = [row.hd95_mm for row in rows if row.hd95_mm is not None]
        means = {name: fmean(getattr(row, name) for row in rows) for name in ("dice", "volume_ml")}
        means["hd95_mm"] = fmean(distances) if distances else None
        result.append(rows[0].model_copy(update=means))
    return result


def said(seeds: Sequence[int]) -> str:
    """The seeds in words."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"scores of each case averaged over seeds {', '.join(map(str, seeds))}"


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
