"""The whole evaluation: scores, tables and figures of some methods and the floors in one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pmmsynth.atomic import write_text
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import UsageError
from pmmsynth.evaluate.compute import compute
from pmmsynth.evaluate.figures import PanelRow, heat_map, panel, save
from pmmsynth.evaluate.floors import FLOORS, fit_floors
from pmmsynth.evaluate.method import Method
from pmmsynth.evaluate.page import write_page
from pmmsynth.evaluate.score import cases_of, read_scores, score
from pmmsynth.evaluate.tables import csv_text, markdown
from pmmsynth.evaluate.tasks import Selection, tasks_for
from pmmsynth.jobs import Failure
from pmmsynth.metrics import PROTOCOLS
from pmmsynth.modality import Task, all_tasks
from pmmsynth.store import PreparedCase, Store

PANEL_TASKS = 4


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` wrote and what it could not score; `table` is the Markdown of the primary protocol."""

    out: Path
    table: str
    rows_added: int
    failures: tuple[Failure, ...]
    exit_code: int


def evaluate(
    store: Store,
    methods: Mapping[str, Method],
    *,
    out: Path,
    tasks: Selection = "paper",
    split: Split = "test",
    max_cases: int | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    reporter: Reporter,
    command: str = "",
) -> Evaluation:
    """Score methods and floors; write `scores.jsonl`, tables, figures and the page `index.html` into `out`.

    Tables and figures are made from all rows of `scores.jsonl`, also those of earlier calls. Arguments as in `score`.
    """
    taken = set(methods) & set(FLOORS)
    if taken:
        raise UsageError(f"found a method named {taken.pop()!r}; expected a name no floor has; choose another name")
    floors = fit_floors(store, reporter).methods(_all_tasks(store, tasks), [d.name for d in store.record.datasets])
    every = {**methods, **floors}
    path = out / "scores.jsonl"
    outcome = score(
        store, every, out=path, tasks=tasks, split=split, max_cases=max_cases, jobs=jobs, overwrite=overwrite,
        reporter=reporter, command=command,
    )  # fmt: skip
    kept = read_scores(path)
    scores = [s for s in kept if s.split == split]
    table = markdown(scores)
    shown = [p for p in PROTOCOLS if any(s.protocol == p for s in scores)]
    write_text(out / "table.md", "\n".join(markdown(scores, p) for p in shown))
    write_text(out / "table.csv", csv_text(scores))
    cases = cases_of(store, split, max_cases)
    for case in figure_cases(cases):
        if found := panel_rows(case, every, tasks):
            save(panel(found), out / "figures" / f"panel_{case.record.dataset}.png")
    if tasks == "grid":
        for dataset in dict.fromkeys(s.dataset for s in scores):
            for name in methods:
                for gain, suffix in ((False, ""), (True, "_gain")):
                    save(
                        heat_map(scores, name, dataset, gain=gain),
                        out / "figures" / f"grid_{dataset}_{_file_name(name)}{suffix}.png",
                    )
    digests = {s.method: s.digest for s in kept}
    costs = compute(out / "compute.json", methods, cases, tasks_for(store.record.modalities, tasks), digests)
    who = f"training patients held out as fold {store.fold}" if store.fold and split == "test" else f"{split} cases"
    page = write_page(out, scores, methods, costs, who)
    reporter.say(f"scores, tables and figures in {out}; open {page.resolve()}", out=str(out), rows=len(scores))
    return Evaluation(out, table, sum(outcome.results), outcome.failures, outcome.exit_code)


def figure_cases(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """One case per dataset: of those with the most modalities the first with a lesion, else the first."""
    chosen: dict[str, PreparedCase] = {}
    for case in cases:
        best = chosen.setdefault(case.record.dataset, case)
        if _worth(case) > _worth(best):
            chosen[case.record.dataset] = case
    return list(chosen.values())


def panel_rows(case: PreparedCase, methods: Mapping[str, Method], tasks: Selection) -> list[PanelRow]:
    """A few tasks on the scored slice with the most lesion (the middle one if there is none)."""
    record, scored = case.record, case.scored_slices()
    areas = np.asarray(case.lesion())[scored].sum(axis=(1, 2))
    index = scored[int(areas.argmax()) if areas.any() else len(scored) // 2]
    images = case.slices([index])
    brain, lesion = case.brain()[index : index + 1], np.asarray(case.lesion()[index])
    wanted = tasks_for(record.modalities, "paper" if tasks == "grid" else tasks)
    rows = []
    for task in wanted[:PANEL_TASKS]:
        able = {name: method for name, method in methods.items() if method.can(task, record.dataset)}
        made = {name: method.run(images, record.modalities, task, record, brain)[0] for name, method in able.items()}
        inputs = [images[record.modalities.index(s), 0] for s in task.sources]
        truth = images[record.modalities.index(task.target), 0]
        rows.append(PanelRow(record.dataset, task, inputs, truth, made, lesion))
    return rows


def _file_name(name: str) -> str:
    """A method's name without what a file system minds ("w/o PFM")."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def _worth(case: PreparedCase) -> tuple[int, bool]:
    return len(case.record.modalities), bool(case.lesion()[case.scored_slices()].any())


def _all_tasks(store: Store, selection: Selection) -> list[Task]:
    """All tasks any case of the store may be asked."""
    return all_tasks(store.record.modalities) if selection == "grid" else tasks_for(store.record.modalities, selection)
