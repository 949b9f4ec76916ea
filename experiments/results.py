"""Write docs/results.md, its figures and the table in README.md from a finished run of experiments/glioma.sh.

Usage: python experiments/results.py runs/glioma .
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from readme import copy_panel, short_table, write_block

from pmmsynth.console import clock
from pmmsynth.evaluate import FLOORS, Score, read_scores
from pmmsynth.evaluate.tables import markdown, rows
from pmmsynth.metrics import PROTOCOL
from pmmsynth.modality import Task
from pmmsynth.model import ModelCard
from pmmsynth.record import read_record
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig
from pmmsynth.verb import ending

GLIOMA = ("CBICA", "TCIA", "2013", "2021")
MODEL, ALONE = "PMM-Synth", "network alone"
TASKS = ("T1->T1C", "T2->FLAIR", "T1+T2->FLAIR", "T1+T2+FLAIR->T1C")


def main(run_folder: Path, project: Path) -> None:
    """Read the run, write the page and the README's table."""
    docs = project / "docs"
    store, config = Store(run_folder / "store"), TrainConfig.read(run_folder / "run" / "config.toml")
    scores = read_scores(run_folder / "evaluation" / "scores.jsonl")
    figures = docs / "figures"
    figures.mkdir(exist_ok=True)
    names = []
    for path in sorted((run_folder / "evaluation" / "figures").glob("panel_*.png")):
        names.append(f"glioma_{path.name}")
        copy_panel(path, figures / names[-1])
    parts = [
        "# Results on real cases",
        "Written by `experiments/results.py` after `experiments/glioma.sh`; nothing in it is typed by hand.",
        "## What was done",
        _setting(run_folder, store, config),
        "## The four glioma tasks",
        "All held-out glioma cases of the four groups together.",
        markdown(_pooled(scores)),
        _verdict(scores),
        "Inside the brain only, and inside the lesion and the 5 mm around it:",
        *(markdown(_pooled(scores), p) for p in ("brain", "lesion", "lesion-shell")),
        "## Each dataset",
        "TCIA never had T1C in training, 2013 never T2; MS is a single held-out case of another disease.",
        markdown(scores),
        "With each true slice's maximum as range (the literal reading of Eq. 10):",
        markdown(_pooled(scores), "slice-max"),
        "## Pictures",
        "One held-out case per dataset, the slice with most lesion (outlined on the truth). Given sequences, truth, "
        "each method, its absolute error below.",
        *(f"![{name}](figures/{name})" for name in names),
    ]
    (docs / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_block(project, "results.py", _summary(scores))


def _summary(scores: Sequence[Score]) -> str:
    """The pooled table in short, for the README."""
    table = rows(_pooled(scores))
    return (
        f"Held-out real glioma cases ({max(row.n for row in table)} patients of four institutions, 192 x 192), preset "
        "`small` trained for under an hour on two CPU cores. PSNR (dB) / SSIM, mean over cases, protocol "
        f"`{PROTOCOL}`; [setting, spread, pictures](docs/results.md). Network alone: the same weights before each task "
        "is drawn towards regression as far as that helps the validation cases.\n\n"
        + short_table([(row.task, [row]) for row in table], [MODEL, ALONE, *FLOORS])
    )


def _pooled(scores: Sequence[Score]) -> list[Score]:
    return [
        s.model_copy(update={"dataset": "glioma", "case": f"{s.dataset}/{s.case}"})
        for s in scores
        if s.dataset in GLIOMA
    ]


def _verdict(scores: Sequence[Score]) -> str:
    """In words, per task and measure, the difference to the best floor."""
    lines = ["Difference to the best floor (positive: the model is better):", ""]
    for row in rows(_pooled(scores)):
        gains = []
        for measure, unit in (("psnr", " dB"), ("ssim", "")):
            best = max(row.cells[f].mean[measure] for f in FLOORS if f in row.cells)
            digits = 2 if measure == "psnr" else 3
            gains.append(f"{row.cells[MODEL].mean[measure] - best:+.{digits}f}{unit} {measure.upper()}")
        lines.append(f"- {row.task}: {', '.join(gains)}")
    return "\n".join(lines)


def _setting(run_folder: Path, store: Store, config: TrainConfig) -> str:
    steps = [r for r in read_record(run_folder / "run" / "metrics.jsonl") if "seconds_per_step" in r]
    provenance = json.loads((run_folder / "run" / "provenance.json").read_text())
    card = json.loads((run_folder / "run" / "model" / "model.json").read_text())
    total = steps[-1]["global_step"]
    pace = median(r["seconds_per_step"] for r in steps)
    share = median(r["data_share"] for r in steps)
    cases = {
        d.name: {s: len(list(store.cases(s, d.name))) for s in ("train", "val", "test")}  # type: ignore[arg-type]
        for d in store.record.datasets
    }
    software = provenance["software"]
    return "\n".join(
        [
            "- Data: 50 public glioma cases in four groups by institution, and two of multiple sclerosis "
            "([cohort file](../experiments/glioma.toml)); slices 4 mm apart, 192 x 192 pixels of 1 mm.",
            "- Split by patient (train / val / test): "
            + "; ".join(f"{n} {c['train']}/{c['val']}/{c['test']}" for n, c in cases.items())
            + ".",
            "- Test cases: scored three times. First the network at the end of training, with nothing chosen on them "
            f"(column `{ALONE}`). That it was below regression in the two T1C tasks is why each task is now drawn "
            "towards regression (`train/shrink.py`); how far comes from the validation cases alone. Then again with "
            "that. This is the third: trained again with the same settings and seed when training had become "
            "faster. The two columns are the same weights.",
            f"- Share of the network, the rest linear regression: {_weights(card)}.",
            f"- Model: preset `small`, width {config.architecture.width}, {_parameters(card)} parameters, "
            f"batch {config.batch_size}, {config.epochs} epochs, seed {config.seed}, {config.precision}.",
            f"- Budget: {total} steps of {pace:.2f} s (median) = {clock(pace * total)} on two CPU cores; {share:.1%} "
            f"of a step is waiting for data; weights of epoch {card['training']['epoch']}, the best on validation.",
            f"- Software: pmmsynth {software['pmmsynth']}, torch {software['torch']}, Python {software['python']}.",
            f"- Protocol: `{PROTOCOL}` unless another is named. Command: `experiments/glioma.sh`.",
        ]
    )


def _weights(card: dict[str, dict[str, int]]) -> str:
    """The network's weight in each of the four tasks."""
    model = ModelCard.model_validate(card)
    return ", ".join(f"{task} {model.network_weight(Task.parse(task)):.0%}" for task in TASKS)


def _parameters(card: dict[str, dict[str, int]]) -> str:
    """Parameters of the generator in millions."""
    generator = ModelCard.model_validate(card).build()
    return f"{sum(p.numel() for p in generator.parameters()) / 1e6:.2f} M"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]))))
