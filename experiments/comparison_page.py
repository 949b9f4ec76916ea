"""Write docs/comparison_NAME.md from what experiments/kept.py kept in results/NAME.

Usage: python experiments/comparison_page.py PROJECT NAME [OUT]

The title and what to make of it are written by hand, in experiments/comparison_NAME.md. With OUT of
experiments/comparison.py the panels of its first seed are copied; without, those copied before stay.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from comparison import ENTRIES
from kept import Done, averaged, over_seeds, read_done, read_kept, shared_seeds
from matplotlib.backends.backend_agg import FigureCanvasAgg
from readme import copy_panel
from tables import ABLATION, DIGITS, OURS, ablation, compared, epoch_seconds, tables

from pmmsynth.atomic import replacing, write_text
from pmmsynth.console import clock
from pmmsynth.evaluate import FLOORS, Score
from pmmsynth.evaluate.tables import DASH, columns, rows
from pmmsynth.evaluate.tasks import MANY_TO_ONE, ONE_TO_ONE
from pmmsynth.metrics import PROTOCOL
from pmmsynth.verb import ending

NEVER_HAD = "Networks and floors learned these tasks from the other datasets alone."
FAIRNESS = """\
- What is not equal: PMM-Synth, with and without PFM, has parts that its paper does not have (a linear shortcut from
  the sources, normalisation inside the head, a linear output), chosen on validation cases of its own trainings; no
  other method was tuned. Methods of one source learn one target a step, drawn from all pairs, the others several. See
  [the choices for each method](explanation/decisions.md#the-methods-compared-with)."""
SURELY = 0.9
"""Of a time: less is faster by more than chance."""
ABLATED = """![ablation](figures/comparison_{name}_fig2d.png)

From left to right: a model without PFM for each dataset, one without PFM for all, the whole method with batches of one,
of four (preset `small`, the column of the tables) and of sixteen slices, and with batches of four without the linear
shortcut that the paper does not have, at equal epochs. The time is of one epoch over the whole cohort, all models of a
variant together, at the pace of the quickest tenth of the steps."""


def main(project: Path, name: str, out: Path | None = None) -> None:
    """Write the page and its figures."""
    kept, figures = project / "results" / name, project / "docs" / "figures"
    done, scores, made = read_done(kept), over_seeds(kept), tables(kept)
    notes = (project / "experiments" / f"comparison_{name}.md").read_text(encoding="utf-8")
    title, _, remarks = notes.partition("\n")
    for path in sorted((out / "seed0" / "evaluation" / "figures").glob("panel_*.png")) if out else ():
        copy_panel(path, figures / f"comparison_{name}_{path.name}")
    ablated = len(ABLATION) == len(epoch_seconds(kept).keys() & {*ABLATION})
    if ablated:
        with replacing(figures / f"comparison_{name}_fig2d.png") as temporary:
            FigureCanvasAgg(ablation(scores, epoch_seconds(kept))).print_png(str(temporary))
    parts = [
        title,
        f"Written by `experiments/comparison_page.py` from [every case's scores](../results/{name}); of its text only "
        f"the next section is typed by hand (`experiments/comparison_{name}.md`).",
        remarks.strip(),
        "## What was done",
        setting(done),
        "## Over both tables",
        made["standing"],
        *(["## Training by training", by_seed(read_kept(kept))] if len(done) > 1 else []),
        "## One to one (Table 1)",
        made["table1"],
        "## Many to one (Table 2)",
        made["table2"],
        "## Each task over all datasets",
        "The cases of all datasets together, as far as every method has them.",
        made["by_task"],
        *(["## Sequences a dataset never had", NEVER_HAD, made["never_had"]] if "never_had" in made else []),
        "## Cost",
        cost(scores, done),
        *(["## Ablation (Fig. 2d)", ABLATED.format(name=name)] if ablated else []),
        "## Pictures",
        "One held-out case per dataset, the slice with most lesion (outlined on the truth). Given sequences, truth, "
        "each method, its absolute error below.",
        *(f"![{p.stem}](figures/{p.name})" for p in sorted(figures.glob(f"comparison_{name}_panel_*.png"))),
    ]
    write_text(project / "docs" / f"comparison_{name}.md", "\n\n".join(parts) + "\n")


def setting(seeds: Mapping[int, Done]) -> str:
    """Data, split, seeds, budget, software and protocol, in lines."""
    done = next(iter(seeds.values()))
    methods: dict[str, list[int]] = {}
    for seed, each in seeds.items():
        for name in each.methods:
            methods.setdefault(name, []).append(seed)
    counts = sorted({tuple(found) for found in methods.values()}, key=len, reverse=True)
    trained = [f"{', '.join(map(str, c))} ({', '.join(n for n in methods if tuple(methods[n]) == c)})" for c in counts]
    precision = " and ".join(sorted({each.precision for each in seeds.values()}))
    versions = sorted({f"{n} {each.software[n]}" for each in seeds.values() for n in ("pmmsynth", "torch")})
    return "\n".join(
        [
            "- Data: "
            + "; ".join(f"{name} ({', '.join(part.modalities)})" for name, part in done.datasets.items())
            + f"; slices of {done.matrix} x {done.matrix} pixels of {done.inplane_mm:g} mm.",
            "- Split by patient (train / val / test): "
            + "; ".join(f"{name} {'/'.join(map(str, part.cases))}" for name, part in done.datasets.items())
            + ".",
            f"- Budget: {done.epochs} epochs over the training slices for every method, batch {done.batch_size}, "
            f"preset `small`, {precision}. Weights of the best validation; of models without any the last.",
            f"- Seeds: {'; '.join(trained)}. Tables are over {', '.join(map(str, shared_seeds(seeds)))}.",
            f"- Steps of a joint model: {done.steps}; of a method with a model per dataset, as many in all.",
            f"- Software: {', '.join(versions)}.",
            f"- Protocol: `{PROTOCOL}`. Networks alone: none is drawn towards regression.",
            FAIRNESS,
        ]
    )


def by_seed(seeds: Mapping[int, Sequence[Score]]) -> str:
    """Each method's mean over the rows that all methods have, of every seed, PSNR / SSIM."""
    every = [s for s in averaged(seeds.values()) if s.task in (*ONE_TO_ONE, *MANY_TO_ONE) and s.method not in FLOORS]
    names = columns(every)
    places = {(row.dataset, row.task) for row in rows(every) if {*names} <= {*row.cells}}
    cases = {(s.dataset, s.task, s.case) for s in compared(every)}
    lines = [
        f"Mean of the {len(places)} rows that all methods have. What differs from seed to seed is chance.",
        "",
        f"| method | {' | '.join(f'seed {seed}' for seed in seeds)} |",
        f"| --- |{' ---: |' * len(seeds)}",
    ]
    for name in names:
        cells = []
        for scores in seeds.values():
            own = [s for s in scores if s.method == name and (s.dataset, s.task) in places]
            table = rows([s for s in own if (s.dataset, s.task, s.case) in cases])
            means = [fmean(row.cells[name].mean[measure] for row in table) for measure in DIGITS] if table else []
            cells.append(" / ".join(f"{m:.{d}f}" for m, d in zip(means, DIGITS.values(), strict=False)) or DASH)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cost(scores: Sequence[Score], seeds: Mapping[int, Done]) -> str:
    """Per method what it costs, of the first seed that has it, and its mean over the rows that all can do."""
    found = {name: each for _, done in sorted(seeds.items(), reverse=True) for name, each in done.methods.items()}
    trained = [name for name in ENTRIES if name in found]
    table = [row for row in rows([s for s in scores if s.task in ONE_TO_ONE]) if {*trained} <= {*row.cells}]
    means = {n: fmean(row.cells[n].mean["psnr"] for row in table) if table else math.nan for n in trained}
    lines = [
        f"Quality is the mean over the {len(table)} rows of Table 1 that all methods have; the rest is of a method's "
        "first seed. Time per slice: 16 slices at once; training: the steps of all models, other work beside it.",
        "",
        "| method | models | parameters, M | GMACs a slice | ms a slice | training | PSNR, dB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in trained:
        each = found[name]
        lines.append(
            f"| {name} | {each.models} | {each.parameters / 1e6:.2f} | {each.gmacs:.2f} | {each.ms:.1f} | "
            f"{clock(each.training)} | {f'{means[name]:.2f}' if table else DASH} |"
        )
    if OURS in trained and table:
        timed = [n for n in trained if found[n].run == found[OURS].run]
        ahead = [n for n in timed if found[n].ms < SURELY * found[OURS].ms and means[n] > means[OURS]]
        lines += ["", f"Faster than {OURS} by a tenth or more and better: {', '.join(ahead) or 'none'}."]
        if others := [n for n in trained if n not in timed]:
            lines.append(f"Times of {', '.join(others)} were measured in another run: they do not compare.")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:]))))
