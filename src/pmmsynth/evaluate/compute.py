"""What a method costs: parameters, multiplications and time per synthesized slice."""

import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch.utils.flop_counter import FlopCounterMode

from pmmsynth.atomic import write_json
from pmmsynth.evaluate.method import Method
from pmmsynth.modality import Task
from pmmsynth.store import PreparedCase

SLICES = 16
REPEATS = 3


class Compute(BaseModel):
    """The cost of one method.

    Attributes:
        digest: Of the method that was measured.
        task: What it was asked.
        parameters: Of all its models together.
        gmacs: 1e9 multiplications with an addition, of the slice with most brain.
        ms: Milliseconds per slice, SLICES at once, median of REPEATS.
        run: When the run began it was measured in; times of one run compare best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    task: str
    parameters: int
    gmacs: float
    ms: float
    run: str = ""


_KEPT = TypeAdapter(dict[str, Compute])


def compute(
    path: Path,
    methods: Mapping[str, Method],
    cases: Sequence[PreparedCase],
    tasks: Sequence[Task],
    scored: Mapping[str, str],
) -> dict[str, Compute]:
    """The cost of every method in the first of the tasks a case allows it, kept in a file.

    Nothing is measured again if the file holds those of these methods that can do any of the tasks, with the same
    weights, measured in one run; otherwise all of them are, so that their times are of one run. The costs of other
    methods stay as long as those weights have scores.

    Args:
        path: compute.json.
        methods: By name.
        cases: To take slices from.
        tasks: In the order of preference.
        scored: Per method with scores the digest of its weights.
    """
    costs = {name: each for name, each in read_costs(path).items() if each.digest == scored.get(name)}
    able = {name: asked for name, method in methods.items() if (asked := _asked(method, cases, tasks))}
    known = [costs[name] for name in able if name in costs]
    if len(known) < len(able) or len({each.run for each in known}) > 1:
        run = datetime.now(UTC).isoformat()
        costs |= {name: _measure(methods[name], *asked, run) for name, asked in able.items()}
    write_json(path, {name: each.model_dump() for name, each in costs.items()})
    return costs


def read_costs(path: Path) -> dict[str, Compute]:
    """What `compute` kept; nothing if there is no such file or it is of another version."""
    try:
        return _KEPT.validate_json(path.read_bytes()) if path.is_file() else {}
    except ValidationError:
        return {}


def _asked(method: Method, cases: Sequence[PreparedCase], tasks: Sequence[Task]) -> tuple[PreparedCase, Task] | None:
    """The first of the tasks a case allows a method; None if there is none, as of a method of one dataset elsewhere."""
    for case in cases:
        for task in tasks:
            if {*task.sources, task.target} <= {*case.record.modalities} and method.can(task, case.record.dataset):
                return case, task
    return None


def _measure(method: Method, case: PreparedCase, task: Task, run: str) -> Compute:
    record = case.record
    chosen = np.resize(case.scored_slices(), SLICES)
    images, brain = case.slices(chosen), case.brain()[chosen]
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        method.run(images, record.modalities, task, record, brain)
        seconds.append(time.perf_counter() - began)
    largest = [int(brain.sum((1, 2)).argmax())]
    with FlopCounterMode(display=False) as counter:
        method.run(images[:, largest], record.modalities, task, record, brain[largest])
    return Compute(
        digest=method.digest,
        task=str(task),
        parameters=method.parameters,
        gmacs=counter.get_total_flops() / 2e9,
        ms=1e3 * statistics.median(seconds) / SLICES,
        run=run,
    )
