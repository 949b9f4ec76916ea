"""Every method on every case and task: `scores.jsonl`, one row per protocol. Given again, it does what is missing."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pmmsynth.atomic import naming, only_writer, write_json, write_text
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.evaluate.floors import digest_of
from pmmsynth.evaluate.method import Method
from pmmsynth.evaluate.tasks import Selection, tasks_for
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.learned import check_unknown
from pmmsynth.manifest import first_message
from pmmsynth.metrics import PROTOCOL, PROTOCOLS, measure, regions
from pmmsynth.modality import Task
from pmmsynth.store import PreparedCase, Store

PACKAGES = ("pmmsynth", "torch", "torchmetrics", "numpy", "scipy")


class Score(BaseModel):
    """One row: what one protocol says about one method on one case and task.

    Attributes:
        digest: Of the method's weights or fit.
        split: Of the case.
        task: "T1+T2->FLAIR".
        region: Where the voxels come from: "crop" or the mask's name.
        psnr: In dB, 100 for identical images.
        n_slices: Slices the row is based on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    digest: str
    dataset: str
    case: str
    split: Split
    task: str
    target: str
    protocol: str
    region: str
    psnr: float
    ssim: float
    mae: float
    n_slices: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.method, self.dataset, self.case, self.task


class Meta(BaseModel):
    """The sidecar of a score file; `methods` maps names to digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    store_digest: str
    protocols: dict[str, str]
    methods: dict[str, str]
    versions: dict[str, str]
    runs: list[dict[str, str]]


_LISTED = TypeAdapter(list[Score])


def score(
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
) -> Outcome[int]:
    """Score methods on a split and add the rows to a file.

    Rows of the same method, digest, case and task that are already there are kept and not computed again. Beside the
    file, `<name>.meta.json` says from what and with what the rows were made.

    Args:
        store: Prepared cases.
        methods: By the name the tables will show.
        out: `scores.jsonl`.
        tasks: See `tasks_for`.
        split: Which cases.
        max_cases: At most this many per dataset.
        jobs: Processes.
        overwrite: Drop the rows of these methods (of all, if the store has changed) and score them afresh.
        reporter: Where to speak.
        command: What the user typed, for the record.

    Returns:
        Rows added per case, and the cases that failed.

    Raises:
        BadInput: If a floor cannot be fitted, as a training case is damaged.
        UsageError: If a method learned from one of the cases, the file has rows of another store or of other weights
            under the same name, or another process adds to it.
        NothingToDo: If no case of the split allows any of the tasks.
    """
    cases = cases_of(store, split, max_cases)
    plans = [(case, tasks_for(case.record.modalities, tasks)) for case in cases]
    if not any(wanted for _, wanted in plans):
        raise NothingToDo(
            f"found {len(cases)} {split} cases in {store.root}, none with the modalities of the tasks {tasks!r}; "
            "choose another split or other tasks"
        )
    for name, method in methods.items():
        check_unknown(name, method.learned, cases, reporter)
    with only_writer(out.parent):
        done, meta = _begin(store, methods, out, overwrite, reporter)
        work = [
            _Work(case, todo, out)
            for case, wanted in plans
            if (todo := _missing(case, wanted, methods, done))  # nothing left of this case: skip it
        ]
        needed = {name: method for each in work for _, todo in each.todo for name, method in todo.items()}
        for method in needed.values():
            if method.begin:
                method.begin()
        if work:
            meta.runs.append({"command": command, "started": datetime.now(UTC).isoformat(timespec="seconds")})
            write_json(_beside(out), meta.model_dump())
        names = [f"{w.case.record.dataset}/{w.case.record.case}" for w in work]
        return map_cases(_score_case, work, names, label="score", jobs=jobs, reporter=reporter)


def cases_of(store: Store, split: Split, max_cases: int | None = None) -> list[PreparedCase]:
    """The cases of a split that have a slice to score, the first `max_cases` of each dataset."""
    return [
        case
        for dataset in store.record.datasets
        for case in islice((c for c in store.cases(split, dataset.name) if c.scored_slices().size), max_cases)
    ]


def read_scores(path: Path) -> list[Score]:
    """All rows of a file that `score` wrote; a last line cut short by a kill is left out.

    Raises:
        BadInput: If there is no such file or another line is not a score.
    """
    if not path.is_file():
        raise BadInput(f"no file at {path}", "scores.jsonl", "run pmmsynth evaluate first")
    *whole, _ = _lines(path)
    lines = [line for line in whole if line]
    try:
        return _LISTED.validate_json(f"[{','.join(lines)}]")
    except ValidationError as error:
        raise BadInput(
            f"{path}: {error.error_count()} bad rows ({error.errors()[0]['msg']})", "one score per line", "restore it"
        ) from error


def _lines(path: Path) -> list[str]:
    """What stands between line feeds, which alone end a row: names may hold other ends of lines. Last what is cut."""
    return path.read_bytes().decode("utf-8", errors="replace").split("\n")


@dataclass(frozen=True)
class _Work:
    """One case with what is missing: for each task the methods by name."""

    case: PreparedCase
    todo: Sequence[tuple[Task, Mapping[str, Method]]]
    out: Path


def _missing(
    case: PreparedCase, wanted: Iterable[Task], methods: Mapping[str, Method], done: set[tuple[str, str, str, str]]
) -> list[tuple[Task, Mapping[str, Method]]]:
    dataset = case.record.dataset

    def left(task: Task) -> dict[str, Method]:
        able = {name: method for name, method in methods.items() if method.can(task, dataset)}
        return {n: m for n, m in able.items() if (n, dataset, case.record.case, str(task)) not in done}

    return [(task, todo) for task in wanted if (todo := left(task))]


def _score_case(work: _Work) -> int:
    """Rows are added after each task, so a kill loses seconds."""
    case, record = work.case, work.case.record
    case.verify()
    scored = case.scored_slices()
    images = case.slices(scored)
    masks = regions(case)
    count = 0
    for task, methods in work.todo:
        truth = images[record.modalities.index(task.target)]
        rows = []
        for name, method in methods.items():
            made = method.run(images, record.modalities, task, record, masks["brain"])
            measures = measure(truth, made, masks)
            for protocol in sorted(measures, key=lambda p: p == PROTOCOL):  # the last one says: this group is complete
                found = measures[protocol]
                rows.append(
                    Score(
                        method=name,
                        digest=method.digest,
                        dataset=record.dataset,
                        case=record.case,
                        split=record.split,
                        task=str(task),
                        target=task.target,
                        protocol=protocol,
                        region=protocol if protocol in masks else "crop",
                        psnr=found.psnr,
                        ssim=found.ssim,
                        mae=found.mae,
                        n_slices=found.n_slices,
                    )
                )
        _append(work.out, rows)
        count += len(rows)
    return count


def _append(path: Path, rows: Iterable[Score]) -> None:
    """One write at the end of the file, so that rows of several processes do not mix."""
    text = "".join(row.model_dump_json() + "\n" for row in rows).encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        with naming(path):
            while text:
                text = text[os.write(handle, text) :]
    finally:
        os.close(handle)


def _begin(
    store: Store, methods: Mapping[str, Method], out: Path, overwrite: bool, reporter: Reporter
) -> tuple[set[tuple[str, str, str, str]], Meta]:
    """Repair or clear the file; which rows need not be computed, and what is to stand in the sidecar."""
    meta_path = _beside(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    digest = digest_of(store.cases())
    rows, old = _existing(out, meta_path, reporter)
    if old and old.store_digest != digest:
        _refuse_unless(overwrite, f"{out}: rows of another state of the store, its split or fold", "rows of this one")
        rows, old = [], None
    if overwrite:
        rows = [row for row in rows if row.method not in methods]
    for row in rows:
        if row.method in methods and row.digest != methods[row.method].digest:
            _refuse_unless(False, f"{out}: rows of other weights named {row.method!r}", "one set of weights per name")
    write_text(out, "".join(row.model_dump_json() + "\n" for row in rows))
    meta = Meta(
        store=str(store.root),
        store_digest=digest,
        protocols=PROTOCOLS,
        methods=(old.methods if old else {}) | {name: method.digest for name, method in methods.items()},
        versions={name: version(name) for name in PACKAGES},
        runs=list(old.runs) if old else [],
    )
    return {row.key for row in rows}, meta


def _beside(scores: Path) -> Path:
    return scores.with_suffix(".meta.json")


def _existing(out: Path, meta_path: Path, reporter: Reporter) -> tuple[list[Score], Meta | None]:
    """The complete groups of rows; what an interruption left half-written is dropped and computed again.

    Complete is a group with the row that is written last and with every protocol that its target has in this case:
    those depend on the masks of the case and on whether there is anything on the true slices.
    """
    if not out.is_file():
        return [], None
    rows, lines = [], [line for line in _lines(out) if line]
    for line in lines:
        with suppress(ValidationError):
            rows.append(Score.model_validate_json(line))
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    targets: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        groups[row.key].add(row.protocol)
        targets[row.dataset, row.case, row.target].add(row.protocol)
    kept = [r for r in rows if PROTOCOL in groups[r.key] and groups[r.key] == targets[r.dataset, r.case, r.target]]
    if len(kept) < len(lines):
        reporter.remark(
            f"{out}: {len(lines) - len(kept)} rows left over by an interruption or a deletion: computed again"
        )
    if not kept:
        return [], None
    if not meta_path.is_file():
        raise BadInput(f"{out} without {meta_path.name}", "both", "restore it or choose another output")
    try:
        return kept, Meta.model_validate_json(meta_path.read_bytes())
    except ValidationError as error:
        raise BadInput(
            f"{meta_path}: {first_message(error)}",
            f"what {out.name} was made from",
            "restore it or choose another output",
        ) from error


def _refuse_unless(allowed: bool, found: str, expected: str) -> None:
    if not allowed:
        raise UsageError(f"found {found}; expected {expected}; choose another output, or replace with --overwrite")
