"""Write the README's table and picture of a finished `make demo`.

Usage: python experiments/demo_numbers.py demo .
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from readme import copy_panel, short_table, write_block

from pmmsynth.console import clock
from pmmsynth.demo.pipeline import CASES, MATRIX, PIXEL_MM, SEED
from pmmsynth.evaluate import FLOORS, read_scores
from pmmsynth.evaluate.tables import Row, rows
from pmmsynth.metrics import PROTOCOL
from pmmsynth.record import read_record
from pmmsynth.train import TrainConfig
from pmmsynth.verb import ending

MODEL = "PMM-Synth"
PANEL = "panel_BraTS.png"


def main(demo: Path, project: Path) -> None:
    """Read the demo's folder, write the block and copy the picture."""
    copy_panel(demo / "evaluation" / "figures" / PANEL, project / "docs" / "figures" / f"demo_{PANEL}")
    write_block(project, "demo_numbers.py", _text(demo))


def _text(demo: Path) -> str:
    scores = read_scores(demo / "evaluation" / "scores.jsonl")
    config = TrainConfig.read(demo / "run" / "config.toml")
    steps = read_record(demo / "run" / "metrics.jsonl")[-1]["global_step"]
    seconds = sum(stage["seconds"] for stage in json.loads((demo / "stages.json").read_text(encoding="utf-8")))
    held_out = len({(s.dataset, s.case) for s in scores})
    table = rows(scores)
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        by_task[row.task].append(row)
    groups = [(f"{task} (datasets: {len(group)})", group) for task, group in by_task.items()]
    return (
        f"What `make demo` measures, in {clock(seconds)} on two CPU cores, on simulated patients: "
        f"{sum(CASES.values())} in four datasets (seed {SEED}), {held_out} of them held out and with a task to score, "
        f"{MATRIX} x {MATRIX} pixels of {PIXEL_MM:g} mm, preset `small` for {config.epochs} epochs ({steps} steps of "
        f"{config.batch_size} slices). PSNR (dB) / SSIM, mean over the datasets' means, protocol `{PROTOCOL}`. Copy: "
        "the best single source; mean image: the dataset's average slice; regression: linear, per voxel; all fitted "
        f"on the training cases.\n\n{short_table([*groups, (f'all {len(table)} rows', table)], [MODEL, *FLOORS])}"
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]))))
