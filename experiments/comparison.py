"""Train every method of the comparison on one prepared cohort at one budget, and score all of them alike.

Usage: python experiments/comparison.py STORE OUT [--epochs 12] [--seeds 0] [--only "MM-GAN,FTN"] [--grid]

The budget is the same for every method: epochs over the training slices of the cohort. A method trained per dataset
(MM-GAN, MM-Synth, ResViT, as in the paper) has one model for each, which together see every slice as often as the one
model of the others. Networks are scored alone, none is drawn towards regression. What is there is not done again:
deleting a run's folder and its rows in scores.jsonl redoes that method only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from tyro.conf import Positional

from pmmsynth.console import Reporter, clock
from pmmsynth.evaluate import PAPER, Method, Selection, evaluate, tasks_for
from pmmsynth.evaluate.score import cases_of
from pmmsynth.infer import Synthesizer
from pmmsynth.modality import ordered
from pmmsynth.record import read_record
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig, small, train
from pmmsynth.train.validate import default_tasks
from pmmsynth.verb import ending


@dataclass(frozen=True)
class Entry:
    """A column of the tables.

    Attributes:
        method: A name in METHODS.
        per_dataset: Whether it is trained on each dataset alone.
        batch_size: Of its steps; None for the usual one.
    """

    method: str
    per_dataset: bool = False
    batch_size: int | None = None


ENTRIES = {
    "MM-GAN": Entry("MM-GAN", per_dataset=True),
    "MM-Synth": Entry("MM-Synth", per_dataset=True),
    "ResViT": Entry("ResViT", per_dataset=True),
    "pFLSynth": Entry("pFLSynth"),
    "FTN": Entry("FTN"),
    "w/o PFM": Entry("PMM-Synth w/o PFM"),
    "PMM-Synth": Entry("PMM-Synth"),
    "w/o PFM, per dataset": Entry("PMM-Synth w/o PFM", per_dataset=True),
    "PMM-Synth, B = 1": Entry("PMM-Synth", batch_size=1),
    "PMM-Synth, B = 16": Entry("PMM-Synth", batch_size=16),
    "w/o shortcut": Entry("PMM-Synth w/o shortcut"),
}
"""Tables 1 and 2, then what Fig. 2d adds and what we added to the paper's network."""


def main(
    store: Positional[Path],
    out: Positional[Path],
    epochs: int = 12,
    seeds: tuple[int, ...] = (0,),
    only: str = "",
    tasks: str = "",
    grid: bool = False,
) -> int:
    """Train what is missing, then score what is missing; returns the exit code of `pmmsynth evaluate`.

    Args:
        store: The prepared cohort.
        out: Where the runs and evaluations go.
        epochs: The budget of every method.
        seeds: Each trains and scores all methods anew.
        only: Some of the methods, separated by commas.
        tasks: Scored, separated by commas; else the paper's that the cohort allows.
        grid: Score every set of sources: heat maps over them, at a multiple of the time.
    """
    reporter = Reporter()
    whole = Store(store)
    wanted = chosen(only) if only else list(ENTRIES)
    asked: Selection = "grid" if grid else [t.strip() for t in tasks.split(",")] if tasks else tasks_of(whole)
    check_tasks(whole, asked)
    code = 0
    for seed in seeds:
        methods = {}
        for name in wanted:
            folders = runs(whole, out, name, epochs, seed, reporter)
            models = [alone(Synthesizer.load(folder)) for folder in folders]
            methods[name] = Method.of(models, folders, whole)
        scored = out / f"seed{seed}" / "evaluation"
        done = evaluate(whole, methods, out=scored, tasks=asked, reporter=reporter, command=" ".join(wanted))
        code = max(code, done.exit_code)
    return code


def check_tasks(store: Store, asked: Selection) -> None:
    """Say before any training that no test case could be scored."""
    if not any(tasks_for(case.record.modalities, asked) for case in cases_of(store, "test")):
        raise SystemExit(
            f"found no test case in {store.root} with the sequences of {asked}; expected one; name others with --tasks"
        )


def chosen(only: str) -> list[str]:
    """The entries that a list separated by commas names, in their order; some names hold a comma themselves."""
    found, left = set(), only
    for name in sorted(ENTRIES, key=len, reverse=True):
        if name in left:
            found.add(name)
            left = left.replace(name, "")
    if unknown := left.strip(", "):
        raise SystemExit(f"found --only {only!r} with {unknown!r}; expected of {'; '.join(ENTRIES)}; correct it")
    return [name for name in ENTRIES if name in found]


def runs(store: Store, out: Path, name: str, epochs: int, seed: int, reporter: Reporter) -> list[Path]:
    """Train the models of one entry; their run folders."""
    entry = ENTRIES[name]
    config = settings(entry, epochs, seed)
    parts: Sequence[tuple[str, ...]] = [(d.name,) for d in store.record.datasets] if entry.per_dataset else [()]
    folders = []
    for part in parts:
        folder = run_folder(out / f"seed{seed}", name) / "-".join(part or ("all",))
        train(replace(store, only=part), folder, config, reporter=reporter)
        folders.append(folder)
    reporter.say(f"{name}: {clock(sum(map(seconds, folders)))} of training")
    return folders


def never_had(store: Store) -> dict[str, tuple[str, ...]]:
    """Per dataset the sequences that test cases have and no training case had."""
    found = {}
    for entry in store.record.datasets:
        trained, tested = (
            {m for case in store.cases(split, entry.name) for m in case.record.modalities}
            for split in ("train", "test")
        )
        if tested - trained:
            found[entry.name] = ordered(tested - trained)
    return found


def tasks_of(store: Store) -> list[str]:
    """The paper's, and each sequence some dataset never had from all the others and from the first of them.

    Of a cohort that allows none of the paper's, each sequence from these.
    """
    targets = ordered({m for names in never_had(store).values() for m in names})
    usual = default_tasks(store.record.modalities)
    extra = [task for task in usual if task.target in targets] if tasks_for(store.record.modalities) else usual
    return [str(task) for task in dict.fromkeys((*PAPER, *extra))]


def settings(entry: Entry, epochs: int, seed: int) -> TrainConfig:
    """Preset `small` of the method over the budget."""
    config = replace(small(entry.method).lasting(epochs), seed=seed, shrink=False)
    return replace(config, batch_size=entry.batch_size) if entry.batch_size else config


def alone(model: Synthesizer) -> Synthesizer:
    """The network without what draws it towards regression."""
    return replace(model, card=model.card.model_copy(update={"shrinkage": {}}))


def seconds(run: Path) -> float:
    """What the steps of a run took."""
    rows = read_record(run / "metrics.jsonl")
    steps = [(row["global_step"], row["seconds_per_step"]) for row in rows if "seconds_per_step" in row]
    before = [0, *(step for step, _ in steps)]
    return sum((step - last) * each for (step, each), last in zip(steps, before, strict=False))


def run_folder(seed: Path, name: str) -> Path:
    """Where the runs of an entry are, by its name without what a file system minds."""
    return seed / "runs" / "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
