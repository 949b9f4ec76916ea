"""What a finished comparison leaves for tables and pages: the score of every case, and what was done at what cost.

Usage: python experiments/kept.py STORE OUT KEPT   (STORE and OUT of experiments/comparison.py)

Per seed `seedN.csv`, a line for each method, case and task under the primary protocol, and `seedN.json`. They are small
enough to stay in the project (results/), so that its tables can be made again without training, and that seeds trained
at different times come together in one table.
"""

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from comparison import ENTRIES, never_had, run_folder, seconds
from pydantic import BaseModel, ConfigDict

from pmmsynth.atomic import write_json, write_text
from pmmsynth.case import SPLITS
from pmmsynth.evaluate import FLOORS, Score, read_scores, tasks_for
from pmmsynth.evaluate.compute import read_costs
from pmmsynth.evaluate.score import cases_of
from pmmsynth.metrics import PROTOCOL
from pmmsynth.modality import Task
from pmmsynth.record import read_record
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig
from pmmsynth.verb import ending

COLUMNS = ("method", "dataset", "case", "task", "psnr", "ssim", "mae", "n_slices")
DECIMALS = 6


class Part(BaseModel):
    """One dataset: its sequences, its cases to train, validate and test, and what only its test cases have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...]
    cases: tuple[int, int, int]
    never_had: tuple[str, ...]


class Cost(BaseModel):
    """What a method took.

    Attributes:
        digest: Of its weights.
        models: How many it has.
        parameters: Of all of them.
        gmacs: Per slice, 1e9.
        ms: Per slice, 16 at once.
        run: When that was measured; only times of one run compare.
        training: Seconds the steps of all models took.
        epoch: Seconds of one epoch over the cohort at the pace of the quickest tenth of the steps: other work on the
            machine makes steps longer, never shorter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    models: int
    parameters: int
    gmacs: float
    ms: float
    run: str = ""
    training: float
    epoch: float


class Done(BaseModel):
    """What was done for one seed; `steps` are those of a joint model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: dict[str, Part]
    matrix: int
    inplane_mm: float
    epochs: int
    batch_size: int
    precision: str
    steps: int
    software: dict[str, str]
    floors: dict[str, str]
    methods: dict[str, Cost]


def main(store: Path, out: Path, kept: Path) -> None:
    """Keep every seed there is."""
    if not (seeds := sorted(out.glob("seed*/evaluation/scores.jsonl"))):
        raise SystemExit(
            f"found no seed*/evaluation/scores.jsonl in {out}; expected OUT of comparison.py; check the path"
        )
    kept.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        folder = seed.parents[1]
        scores = [s for s in read_scores(seed) if s.protocol == PROTOCOL]
        done = what_was_done(Store(store), folder, scores)
        check_complete(Store(store), scores)
        write_text(kept / f"{folder.name}.csv", as_text(scores))
        write_json(kept / f"{folder.name}.json", done.model_dump())


def check_complete(store: Store, scores: Sequence[Score]) -> None:
    """Refuse tables over fewer cases than the store has for the tasks that were scored.

    A method may lack a task of a dataset, as one trained on others alone, but not a single case of it.
    """
    tasks = sorted({s.task for s in scores})
    wanted, had = defaultdict(set), defaultdict(set)
    for case in (c.record for c in cases_of(store, "test")):
        for task in tasks_for(case.modalities, tasks):
            wanted[case.dataset, str(task)].add(case.case)
    for score in scores:
        had[score.method, score.dataset, score.task].add(score.case)
    every = {(dataset, case) for (dataset, _), cases in wanted.items() for case in cases}
    missing = every - {(s.dataset, s.case) for s in scores}
    missing |= {(d, case) for (_, d, task), cases in had.items() for case in wanted[d, task] - cases}
    if missing:
        raise SystemExit(
            f"found no score of {len(missing)} of {len(every)} test cases, the first {'/'.join(min(missing))}; "
            "expected all, of every method that has others of the task; see why comparison.py could not score it, and "
            "run that again"
        )


def read_done(kept: Path) -> dict[int, Done]:
    """What was done, by seed."""
    if not (paths := sorted(kept.glob("seed*.json"))):
        raise SystemExit(f"found no seed*.json in {kept}; expected what kept.py wrote; check the path")
    found = {int(path.stem.removeprefix("seed")): Done.model_validate_json(path.read_bytes()) for path in paths}
    alike = ("datasets", "matrix", "inplane_mm", "epochs", "batch_size")
    for name in alike:
        if len({str(getattr(done, name)) for done in found.values()}) > 1:
            raise SystemExit(f"found seeds of different {name} in {kept}; expected one cohort and budget; part them")
    return found


def read_kept(kept: Path) -> dict[int, list[Score]]:
    """The scores, by seed."""
    return {
        seed: from_text((kept / f"seed{seed}.csv").read_text(encoding="utf-8"), done)
        for seed, done in read_done(kept).items()
    }


def over_seeds(kept: Path) -> list[Score]:
    """The scores of each case, averaged over the seeds of `shared_seeds`; methods in the order of ENTRIES."""
    found = read_kept(kept)
    return averaged(found[seed] for seed in shared_seeds(read_done(kept)))


def shared_seeds(seeds: Mapping[int, Done]) -> list[int]:
    """Those that have every method, so that none is averaged over more trainings than another; all if there is none."""
    every = {name for done in seeds.values() for name in done.methods}
    return [seed for seed, done in seeds.items() if done.methods.keys() == every] or list(seeds)


def averaged(seeds: Iterable[Sequence[Score]]) -> list[Score]:
    """The scores of each case, averaged over those of these seeds that have it."""
    found: dict[tuple[str, ...], list[Score]] = defaultdict(list)
    for scores in seeds:
        for score in scores:
            found[score.key].append(score)
    order = list(ENTRIES)
    return sorted(
        (
            same[0].model_copy(update={m: fmean(getattr(s, m) for s in same) for m in ("psnr", "ssim", "mae")})
            for same in found.values()
        ),
        key=lambda s: order.index(s.method) if s.method in order else len(order),
    )


def as_text(scores: Sequence[Score]) -> str:
    """Lines of COLUMNS, sorted."""
    return csv_text(COLUMNS, sorted(scores, key=lambda s: (s.method, s.dataset, s.case, s.task)))


def csv_text(columns: Sequence[str], rows: Iterable[object]) -> str:
    """A line of names, then one of these attributes for each row, to six decimals."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [getattr(row, name) for name in columns]
        writer.writerow([round(v, DECIMALS) if isinstance(v, float) else v for v in values])
    return out.getvalue()


def from_text(text: str, done: Done) -> list[Score]:
    """The scores that `as_text` wrote: test cases, whole crops, the primary protocol."""
    digests = {**done.floors, **{name: cost.digest for name, cost in done.methods.items()}}
    return [
        Score.model_validate(
            {
                **line,
                "digest": digests[line["method"]],
                "split": "test",
                "target": Task.parse(line["task"]).target,
                "protocol": PROTOCOL,
                "region": "crop",
            }
        )
        for line in csv.DictReader(io.StringIO(text))
    ]


def what_was_done(store: Store, seed: Path, scores: Sequence[Score]) -> Done:
    """Data, split, budget and software of the runs of a seed, and the cost of each method."""
    path = seed / "evaluation" / "compute.json"
    measured, digests = read_costs(path), {s.method: s.digest for s in scores}
    trained = sorted(digests.keys() - {*FLOORS})
    if strange := [n for n in trained if n not in ENTRIES]:
        raise SystemExit(
            f"found scores of {', '.join(strange)} in {seed}; expected methods among ENTRIES of comparison.py; add "
            "them there, with their runs"
        )
    if lacking := [n for n in trained if n not in measured or measured[n].digest != digests[n]]:
        raise SystemExit(
            f"found no cost of {', '.join(lacking)} in {path}; expected one of each method with scores; run "
            f'comparison.py again with --only "{", ".join(lacking)}"'
        )
    runs = {name: runs_of(seed, name) for name in ENTRIES if name in trained}
    first = next(iter(runs.values()))[0]
    config = TrainConfig.read(first / "config.toml")
    check_budget(runs, config)
    missing = never_had(store)
    datasets = {
        d.name: Part(
            modalities=tuple(d.modalities),
            cases=tuple(len(list(store.cases(split, d.name))) for split in SPLITS),  # type: ignore[arg-type]
            never_had=missing.get(d.name, ()),
        )
        for d in store.record.datasets
    }
    return Done(
        datasets=datasets,
        matrix=store.record.matrix,
        inplane_mm=store.record.inplane_mm,
        epochs=config.epochs,
        batch_size=config.batch_size,
        precision=config.precision,
        steps=sum(map(steps_of, runs.get("PMM-Synth", next(iter(runs.values()))))),
        software=json.loads((first / "provenance.json").read_text(encoding="utf-8"))["software"],
        floors={name: digest for name, digest in digests.items() if name in FLOORS},
        methods={
            name: Cost(
                **measured[name].model_dump(include={"digest", "parameters", "gmacs", "ms", "run"}),
                models=len(folders),
                training=sum(map(seconds, folders)),
                epoch=sum(map(undisturbed, folders)) / config.epochs,
            )
            for name, folders in runs.items()
        },
    )


def check_budget(runs: Mapping[str, Sequence[Path]], config: TrainConfig) -> None:
    """Refuse runs of other epochs than the first one's, or of other batches where the entry does not say so."""
    for name, folders in runs.items():
        for folder in folders:
            own = TrainConfig.read(folder / "config.toml")
            size = ENTRIES[name].batch_size or config.batch_size
            if (own.epochs, own.batch_size) != (config.epochs, size):
                raise SystemExit(
                    f"found {own.epochs} epochs of batches of {own.batch_size} in {folder}; expected "
                    f"{config.epochs} of {size}, the budget of the others; delete that run and train it again"
                )


def runs_of(seed: Path, name: str) -> list[Path]:
    """The run folders of an entry."""
    return sorted(path.parent for path in run_folder(seed, name).glob("*/metrics.jsonl"))


def steps_of(run: Path) -> int:
    """Steps of a training, to its end."""
    return max(row["global_step"] for row in read_record(run / "metrics.jsonl"))


def undisturbed(run: Path) -> float:
    """Seconds all steps of a run would take at the pace of its quickest tenth."""
    rows = read_record(run / "metrics.jsonl")
    paces = [row["seconds_per_step"] for row in rows if "seconds_per_step" in row]
    return float(np.quantile(paces, 0.1)) * steps_of(run)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    raise SystemExit(ending(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))))
