"""What a method costs: parameters, multiplications and time per synthesized slice, all measured in one run."""

import statistics
import time
from collections.abc import Mapping, Sequence
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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    task: str
    parameters: int
    gmacs: float
    ms: float


_KEPT = TypeAdapter(dict[str, Compute])


def compute(
    path: Path, methods: Mapping[str, Method], cases: Sequence[PreparedCase], tasks: Sequence[Task]
) -> dict[str, Compute]:
    """The cost of every method in the first of the tasks a case allows it, kept in a file.

    Nothing is measured again if the file holds these methods with the same weights; otherwise all are, so that their
    times are of one run.

    Args:
        path: compute.json.
        methods: By name.
        cases: To take slices from.
        tasks: In the order of preference.
    """
    kept = _read(path)
    if {name: each.digest for name, each in kept.items()} == {n: m.digest for n, m in methods.items()}:
        return kept
    measured = {name: _measure(method, cases, tasks) for name, method in methods.items()}
    found = {name: each for name, each in measured.items() if each}
    write_json(path, {name: each.model_dump() for name, each in found.items()})
    return found


def _measure(method: Method, cases: Sequence[PreparedCase], tasks: Sequence[Task]) -> Compute | None:
    for case in cases:
        record = case.record
        for task in tasks:
            if {*task.sources, task.target} <= set(record.modalities) and method.can(task, record.dataset):
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
                )
    return None


def _read(path: Path) -> dict[str, Compute]:
    try:
        return _KEPT.validate_json(path.read_bytes()) if path.is_file() else {}
    except ValidationError:  # of another version: measured again
        return {}
