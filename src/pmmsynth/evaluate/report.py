"""The whole evaluation: scores, tables and figures of some methods and the floors in one folder."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

from pmmsynth.atomic import only_writer, refuse_other_things, write_text
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.compute import compute
from pmmsynth.evaluate.figures import heat_map, panel, save
from pmmsynth.evaluate.floors import FLOORS, fit_floors
from pmmsynth.evaluate.method import Method
from pmmsynth.evaluate.page import write_page
from pmmsynth.evaluate.pictures import Pictures, figure_cases
from pmmsynth.evaluate.score import Score, cases_of, read_scores, score
from pmmsynth.evaluate.tables import columns, csv_text, markdown
from pmmsynth.evaluate.tasks import Selection, tasks_for
from pmmsynth.jobs import Failure
from pmmsynth.metrics import PROTOCOLS
from pmmsynth.modality import Task, all_tasks
from pmmsynth.store import PreparedCase, Store

PICTURES = "pictures.safetensors"
LONGEST = 150
"""Characters of a method's name in that of a file."""


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
    path = out / "scores.jsonl"
    refuse_other_things(out, marker=path.name, kind="evaluation")
    floors = fit_floors(store, reporter).methods(_all_tasks(store, tasks), [d.name for d in store.record.datasets])
    every = {**methods, **floors}
    outcome = score(
        store, every, out=path, tasks=tasks, split=split, max_cases=max_cases, jobs=jobs, overwrite=overwrite,
        reporter=reporter, command=command,
    )  # fmt: skip
    with only_writer(out):  # pictures of two calls must not mix
        kept = read_scores(path)
        scores = [s for s in kept if s.split == split]
        if not scores:
            return Evaluation(out, "", 0, outcome.failures, outcome.exit_code)
        table = markdown(scores)
        shown = [p for p in PROTOCOLS if any(s.protocol == p for s in scores)]
        write_text(out / "table.md", "\n".join(markdown(scores, p) for p in shown))
        write_text(out / "table.csv", csv_text(scores))
        failed = {failure.name for failure in outcome.failures}
        sound = [c for c in cases_of(store, split, max_cases) if f"{c.record.dataset}/{c.record.case}" not in failed]
        cases = figure_cases(sound)
        newest = {s.method: s.digest for s in kept}
        digests = {name: newest[name] for name in columns(kept)}
        pictures = Pictures.read(out / PICTURES, digests)
        pictures.learn(methods)
        figures = _panels(out, pictures, cases, every, tasks, reporter) + _heat_maps(out, scores)
        pictures.write(out / PICTURES)
        own = {path for kind in ("panel", "grid") for path in (out / "figures").glob(f"{kind}_*.png")}
        for old in own - {*figures}:
            old.unlink()
        costs = compute(out / "compute.json", methods, cases, tasks_for(store.record.modalities, tasks), digests)
        who = f"training patients held out as fold {store.fold}" if store.fold and split == "test" else f"{split} cases"
        page = write_page(out, scores, pictures.curves, costs, figures, who)
    reporter.say(f"scores, tables and figures in {out}; open {page.resolve()}", out=str(out), rows=len(scores))
    code = 5 if outcome.exit_code == 4 else outcome.exit_code  # other cases were scored, maybe by an earlier call
    return Evaluation(out, table, sum(outcome.results), outcome.failures, code)


def _panels(
    out: Path,
    pictures: Pictures,
    cases: Sequence[PreparedCase],
    methods: Mapping[str, Method],
    tasks: Selection,
    reporter: Reporter,
) -> list[Path]:
    """Draw the panel of each case; one that was damaged since it was scored is passed over."""
    drawn = []
    for case in cases:
        try:
            found = pictures.panel(case, methods, tasks)
        except BadInput as error:
            reporter.warn(f"no picture of {case.record.dataset}: {error}")
            continue
        if found:
            drawn.append(out / "figures" / f"panel_{case.record.dataset}.png")
            save(panel(found), drawn[-1])
    return drawn


def _heat_maps(out: Path, scores: Sequence[Score]) -> list[Path]:
    """Draw the maps of a method in a dataset where it made each sequence from each other one, as `grid` asks.

    Sequences that no case of the dataset has together are not asked for.
    """
    known = {text: Task.parse(text) for text in dict.fromkeys(row.task for row in scores)}
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    pairs: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in scores:
        asked[row.dataset, row.method].add(row.task)
    for (dataset, _), tasks in asked.items():
        for task in map(known.__getitem__, tasks):
            pairs[dataset] |= set(permutations((*task.sources, task.target), 2))
    drawn = []
    for (dataset, method), tasks in asked.items():
        if method not in FLOORS and {str(Task((one,), other)) for one, other in pairs[dataset]} <= tasks:
            for gain, suffix in ((False, ""), (True, "_gain")):
                drawn.append(out / "figures" / f"grid_{dataset}_{_file_name(method)}{suffix}.png")
                save(heat_map(scores, method, dataset, gain=gain), drawn[-1])
    return drawn


def _file_name(name: str) -> str:
    """A method's name without what a file system minds, and not that of another method ("w%2Fo PFM")."""
    text = quote(name, safe=" ,=+")
    return text if len(text) < LONGEST else hashlib.sha256(name.encode()).hexdigest()


def _all_tasks(store: Store, selection: Selection) -> list[Task]:
    """All tasks any case of the store may be asked."""
    return all_tasks(store.record.modalities) if selection == "grid" else tasks_for(store.record.modalities, selection)
