"""Simulate, prepare, train, synthesize, evaluate, one page: each step is the library call its command makes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol, TypeVar

from pmmsynth.atomic import refuse_other_things, write_json
from pmmsynth.console import Reporter, clock
from pmmsynth.demo.page import Stage, write_page
from pmmsynth.errors import BadInput, NothingToDo
from pmmsynth.evaluate import evaluate, methods_of, read_scores
from pmmsynth.infer import SavedModel, synthesize_cases
from pmmsynth.intake import find_cases
from pmmsynth.jobs import Failure
from pmmsynth.prepare import prepare
from pmmsynth.simulate import simulate
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig, small, train


class Failing(Protocol):
    """What many cases end with."""

    @property
    def failures(self) -> tuple[Failure, ...]: ...


Done = TypeVar("Done", bound=Failing)

CASES = {"TTG": 12, "TTI": 12, "BraTS": 5, "ISLES": 8}
"""Simulated patients per dataset; fewer where a patient has many slices."""
SEED = 2026
MATRIX, PIXEL_MM = 96, 2.0
EPOCHS = 4


def settings() -> TrainConfig:
    """`small()` on a short budget."""
    return replace(small().lasting(EPOCHS), seed=SEED)


def demo(out: Path, *, jobs: int = 2, reporter: Reporter | None = None) -> Path:
    """Run everything below `out` and return the page; a second run keeps what the first made.

    Args:
        out: Folder for simulated cases, store, run, synthesized volumes, scores and page.
        jobs: Cases at a time.
        reporter: Where to speak.

    Raises:
        BadInput: If the machine fails at some case, as with a full disk.
    """
    reporter = reporter or Reporter()
    stages: list[Stage] = []

    @contextmanager
    def stage(command: str) -> Iterator[None]:
        reporter.say(f"\n$ pmmsynth {command}", command=command)
        began = time.monotonic()
        yield
        stages.append(Stage(command, time.monotonic() - began))

    raw, prepared, run, made, scored = (out / n for n in ("simulated", "store", "run", "synthesized", "evaluation"))
    refuse_other_things(out, marker=raw.name, kind="demo")
    counts = ",".join(f"{name}={count}" for name, count in CASES.items())
    with stage(f"simulate {raw} --cases {counts} --seed {SEED} --jobs {jobs}"):
        try:
            _whole(simulate(raw, cases=CASES, seed=SEED, jobs=jobs, overwrite=False, reporter=reporter))
        except NothingToDo:
            reporter.say("all simulated before")
    cohorts = raw / "cohorts.toml"
    with stage(f"prepare {cohorts} --out {prepared} --matrix {MATRIX} --inplane-mm {PIXEL_MM} --jobs {jobs}"):
        _whole(prepare(cohorts, prepared, matrix=MATRIX, inplane_mm=PIXEL_MM, jobs=jobs, reporter=reporter))
    store = Store(prepared)
    with stage(f"train {prepared} --out {run} --preset small --epochs {EPOCHS} --seed {SEED}"):
        train(store, run, settings(), reporter=reporter)
    with stage(f"synthesize {run} {prepared / 'manifest.jsonl'} --split test --out {made} --overwrite"):
        cases = find_cases(prepared / "manifest.jsonl", "test")
        written = _whole(synthesize_cases(SavedModel.find(run), cases, made, overwrite=True, reporter=reporter))
    with stage(f"evaluate {prepared} --model {run} --out {scored}"):
        methods = methods_of([str(run)], store)
        _whole(evaluate(store, methods, out=scored, reporter=reporter))
    page = write_page(out / "index.html", out, read_scores(scored / "scores.jsonl"), written.results, stages)
    write_json(out / "stages.json", [asdict(s) for s in stages])
    total = clock(sum(s.seconds for s in stages))
    reporter.say(f"\ndone in {total}; open {page.resolve()}", page=str(page.resolve()))
    return page


def _whole(outcome: Done) -> Done:
    """The outcome, if nothing failed: the demo's own data must all work, unless the machine fails."""
    for failure in outcome.failures:
        if failure.is_ours or failure.is_input:
            raise RuntimeError(f"{failure.name}: {failure.reason}")
    if count := len(outcome.failures):
        raise BadInput(
            f"{count} cases that could not be done", "every one done", "mend what the lines above say; run it again"
        )
    return outcome
