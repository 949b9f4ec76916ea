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

    What the file holds of the same weights is not measured again, and of methods not named it is kept.

    Args:
        path: compute.json.
        methods: By name.
        cases: To take slices from.
        tasks: In the order of preference.
    """
    found = _read(path)
    for name, method in methods.items():
        before = found.get(name)
        if (before is None or before.digest != method.digest) and (measured := _measure(method, cases, tasks)):
            found[name] = measured
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
