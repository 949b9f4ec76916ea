"""Write a page of docs, with its figures, from a finished run of experiments/comparison.py and experiments/tables.py.

Usage: python experiments/comparison_page.py STORE OUT PROJECT NAME   (docs/comparison_NAME.md)

The title and what to make of it are written by hand, in experiments/comparison_NAME.md.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from comparison import ENTRIES, run_folder, seconds
from readme import copy_panel
from tables import ABLATION, over_seeds

from pmmsynth.atomic import replacing, write_text
from pmmsynth.case import SPLITS
from pmmsynth.console import clock
from pmmsynth.evaluate import Score
from pmmsynth.evaluate.tables import columns, rows
from pmmsynth.evaluate.tasks import ONE_TO_ONE
from pmmsynth.metrics import PROTOCOL
from pmmsynth.model import read_card
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig

ABLATED = """![ablation](figures/comparison_{name}_fig2d.png)

From left to right: a model without PFM for each dataset, one without PFM for all, the whole method with batches of one,
of four (preset `small`, the column of the tables) and of sixteen slices, at equal epochs. The time is of one epoch over
the whole cohort, all models of a variant together, at the pace of the quickest tenth of the steps."""


def main(store: Path, out: Path, project: Path, name: str) -> None:
    """Write the page and copy its figures."""
    figures = project / "docs" / "figures"
    scores = over_seeds(out)
    trained = [n for n in ENTRIES if n in columns(scores)]
    notes = (project / "experiments" / f"comparison_{name}.md").read_text(encoding="utf-8")
    title, _, remarks = notes.partition("\n")
    shown = []
    for path in sorted((out / "seed0" / "evaluation" / "figures").glob("panel_*.png")):
        shown.append(f"comparison_{name}_{path.name}")
        copy_panel(path, figures / shown[-1])
    never, ablated = out / "never_had.md", [n for n in ABLATION if n in trained]
    if len(ablated) > 2:
        with replacing(figures / f"comparison_{name}_fig2d.png") as temporary:
            temporary.write_bytes((out / "fig2d.png").read_bytes())
    parts = [
        title,
        "Written by `experiments/comparison_page.py` after `make paper`; of its text only the next section is typed by "
        f"hand (`experiments/comparison_{name}.md`).",
        remarks.strip(),
        "## What was done",
        setting(Store(store), out, trained),
        "## Over both tables",
        (out / "standing.md").read_text(encoding="utf-8"),
        "## One to one (Table 1)",
        (out / "table1.md").read_text(encoding="utf-8"),
        "## Many to one (Table 2)",
        (out / "table2.md").read_text(encoding="utf-8"),
        *(["## Sequences a dataset never had", never.read_text(encoding="utf-8")] if never.is_file() else []),
        "## Cost",
        cost(scores, out, trained),
        *(["## Ablation (Fig. 2d)", ABLATED.format(name=name)] if len(ablated) > 2 else []),
        "## Pictures",
        "One held-out case per dataset, the slice with most lesion (outlined on the truth). Given sequences, truth, "
        "each method, its absolute error below.",
        *(f"![{picture}](figures/{picture})" for picture in shown),
    ]
    write_text(project / "docs" / f"comparison_{name}.md", "\n\n".join(parts) + "\n")


def setting(store: Store, out: Path, trained: Sequence[str]) -> str:
    """Data, split, seeds, budget, software and protocol, in lines."""
    datasets = store.record.datasets
    counts = {d.name: [len(list(store.cases(split, d.name))) for split in SPLITS] for d in datasets}
    seeds = sorted(int(path.name.removeprefix("seed")) for path in out.glob("seed*"))
    first = runs_of(out, seeds[0], trained[0])[0]
    config = TrainConfig.read(first / "config.toml")
    software = json.loads((first / "provenance.json").read_text(encoding="utf-8"))["software"]
    return "\n".join(
        [
            "- Data: "
            + "; ".join(f"{d.name} ({', '.join(d.modalities)})" for d in datasets)
            + f"; slices of {store.record.matrix} x {store.record.matrix} pixels of {store.record.inplane_mm:g} mm.",
            "- Split by patient (train / val / test): "
            + "; ".join(f"{name} {'/'.join(map(str, count))}" for name, count in counts.items())
            + ".",
            f"- Budget: {config.epochs} epochs over the training slices for every method, batch {config.batch_size}, "
            f"preset `small`, {config.precision}; seeds {', '.join(map(str, seeds))}. Weights of the best validation.",
            f"- Steps of a joint model: {steps(out, seeds[0], 'PMM-Synth')}; of a method with a model per dataset, as "
            "many in all.",
            f"- Software: pmmsynth {software['pmmsynth']}, torch {software['torch']}, Python {software['python']}.",
            f"- Protocol: `{PROTOCOL}`. Networks alone: none is drawn towards regression.",
        ]
    )


def cost(scores: Sequence[Score], out: Path, trained: Sequence[str]) -> str:
    """Per method what it costs, and its mean over the rows that all can do."""
    table = [row for row in rows([s for s in scores if s.task in ONE_TO_ONE]) if set(trained) <= set(row.cells)]
    measured = json.loads((out / "seed0" / "evaluation" / "compute.json").read_text(encoding="utf-8"))
    means = {n: fmean(row.cells[n].mean["psnr"] for row in table) for n in trained}
    lines = [
        f"Quality is the mean over the {len(table)} rows of Table 1. Time per slice: 16 slices at once, all methods in "
        "one run on the same machine; training: the steps of all models of a method, other work beside it.",
        "",
        "| method | models | parameters, M | GMACs a slice | ms a slice | training | PSNR, dB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in trained:
        folders, each = runs_of(out, 0, name), measured[name]
        lines.append(
            f"| {name} | {len(folders)} | {each['parameters'] / 1e6:.2f} | {each['gmacs']:.2f} | {each['ms']:.1f} | "
            f"{clock(sum(map(seconds, folders)))} | {means[name]:.2f} |"
        )
    ours = "PMM-Synth"
    ahead = [n for n in trained if n != ours and measured[n]["ms"] < measured[ours]["ms"] and means[n] > means[ours]]
    lines += ["", f"Faster than {ours} and better: {', '.join(ahead) or 'none'}."]
    return "\n".join(lines)


def runs_of(out: Path, seed: int, name: str) -> list[Path]:
    """The run folders of an entry."""
    return sorted(path.parent for path in run_folder(out / f"seed{seed}", name).glob("*/metrics.jsonl"))


def steps(out: Path, seed: int, name: str) -> int:
    """Steps of the one model of an entry, to its end."""
    (folder,) = runs_of(out, seed, name)
    training = read_card(folder / "model").training
    return training["steps"] * training["epochs"] // training["epoch"]


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
