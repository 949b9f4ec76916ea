"""Do synthesized sequences help to find lesions (Fig. 2c)? Trains and evaluates what is missing, then table and bars.

For each sequence: all real; that one synthesized from the others, for the same network; a network trained without it.

Usage: python experiments/fig2c_segmentation.py STORE RUN OUT --target glioma
       python experiments/fig2c_segmentation.py STORE RUN OUT --target lesion --dataset ISLES

Whatever is there already is not done again; table and bars follow from the rows alone (segment/report.py).
--page writes a page of docs with both; its start is written by hand, in the file of that name beside this script.
"""

import shutil
from pathlib import Path

import tyro
from tyro.conf import Positional, UseAppendAction

from pmmsynth.atomic import replacing, write_text
from pmmsynth.console import Reporter
from pmmsynth.segment.regions import Target
from pmmsynth.segment.report import write_report
from pmmsynth.segment.score import evaluate_segmenter, read_rows
from pmmsynth.segment.train import SegmentConfig, train_segmenter
from pmmsynth.store import Store

ROWS = "segmentation.jsonl"


def main(
    store: Positional[Path],
    model: Positional[Path],
    out: Positional[Path],
    target: Target = "glioma",
    dataset: UseAppendAction[tuple[str, ...]] = (),
    steps: int = 1000,
    width: int = 32,
    seed: int = 0,
    page: Path | None = None,
) -> None:
    """The whole experiment in `out`; the same call again does what is missing.

    Args:
        store: What prepare wrote, without sequences withheld.
        model: A run folder of pmmsynth train.
        out: One run folder per network, the rows, the table and the figure.
        target: What is segmented.
        dataset: Only these datasets of the store.
        steps: Of each network.
        width: Of each network.
        seed: Of each network.
        page: Such as docs/segmentation_glioma.md; the figure goes into figures/ beside it.
    """
    cohort, reporter = Store(store, dataset), Reporter()
    names = cohort.record.modalities
    plan = [("", "full"), *((name, f"without_{name}") for name in names)]
    for left_out, folder in plan:
        config = SegmentConfig(target=target, left_out=left_out, steps=steps, width=width, seed=seed)
        train_segmenter(cohort, out / folder, config, reporter=reporter)
        evaluate_segmenter(cohort, out / folder, out / ROWS, reporter=reporter)
    for name in names:
        evaluate_segmenter(cohort, out / "full", out / ROWS, model=model, left_out=name, reporter=reporter)
    table = write_report(read_rows(out / ROWS), out).read_text(encoding="utf-8")
    print(table)
    if page:
        with replacing(page.parent / "figures" / f"{page.stem}.png") as figure:
            shutil.copyfile(out / "segmentation.png", figure)
        text = (Path(__file__).parent / page.name).read_text(encoding="utf-8").strip()
        what = f"{steps} steps of each network, width {width}, seed {seed}."
        write_text(page, f"{text}\n\n## Results\n\n{what} {table}\n![bars](figures/{page.stem}.png)\n")


if __name__ == "__main__":
    tyro.cli(main)
