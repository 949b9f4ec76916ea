"""The same work on many cases, here or on a cluster: with progress, one failing case not stopping the others."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, PmmsynthError, UsageError, is_of_memory
from pmmsynth.workers import Lost, on_cluster, on_processes

Item = TypeVar("Item")
Result = TypeVar("Result")

LOST = (
    "found its process gone before it was done (killed, or out of memory); expected it to end; "
    "free memory and run the same command again"
)


@dataclass(frozen=True)
class Failure:
    """A case that could not be done.

    Attributes:
        name: Of the case.
        reason: The one line that says why.
        is_ours: A fault of the program.
        is_input: A fault of the input; else, and if it is not ours, of the machine, such as a full disk.
    """

    name: str
    reason: str
    is_ours: bool = False
    is_input: bool = False


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of all cases. `exit_code`: 0 all done, 4 all bad, 5 some failed, 70 a fault of ours."""

    results: tuple[Result, ...]
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        if any(f.is_ours for f in self.failures):
            return 70
        if self.failures:
            return 5 if self.results else 4
        return 0


def map_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    names: Iterable[str],
    *,
    label: str,
    jobs: int,
    cluster: str | None = None,
    reporter: Reporter,
) -> Outcome[Result]:
    """Call `work` on every item; results and failures in the order of items, progress as they end.

    Bad input and any other error of one item is reported in one line and counted; the rest goes on. So is an item
    whose process is lost (out of memory, killed), if that happens again when it is tried alone.

    Args:
        work: What is done; it, an item and a result must be picklable, paths absolute, unless it is done in this
            process.
        items: What it is done to.
        names: Of the items, for progress and failures.
        label: Of the whole.
        jobs: Items at a time: 1 in this process, more in as many, which share the cores; negative numbers count from
            the number of cores, as in joblib.
        cluster: Address of a Dask scheduler whose workers do it instead, as many at a time as they have threads.
        reporter: Where to speak.

    Raises:
        UsageError: If `jobs` is 0 or given beside `cluster`, no scheduler answers, or Dask is not installed.
    """
    check_jobs(jobs, cluster)
    pairs = list(zip(names, items, strict=True))
    call, numbered = partial(_guarded, work), dict(enumerate(pairs))
    if cluster is None:
        stream = on_processes(call, numbered, jobs)
    else:
        stream = on_cluster(call, numbered, cluster, label, reporter)
    answers: dict[int, Result | Failure] = {}
    with reporter.progress(label, len(pairs)) as advance:
        for number, answer in stream:
            name, _ = pairs[number]
            answers[number] = Failure(name, LOST) if isinstance(answer, Lost) else answer
            if isinstance(failure := answers[number], Failure):
                reporter.warn(f"{name}: {failure.reason}", case=name)
            advance(name)
    ordered = [answers[number] for number in range(len(pairs))]
    return Outcome(
        tuple(a for a in ordered if not isinstance(a, Failure)), tuple(a for a in ordered if isinstance(a, Failure))
    )


def check_jobs(jobs: int, cluster: str | None) -> None:
    """Raise UsageError if `jobs` is 0 or given beside `cluster`."""
    if jobs == 0:
        raise UsageError("found --jobs 0; expected at least 1, or -1 for all cores; choose a number")
    if cluster is not None and jobs != 1:
        raise UsageError("found --jobs and --cluster; expected one: the workers decide how many at a time; choose one")


def _guarded(work: Callable[[Item], Result], pair: tuple[str, Item]) -> Result | Failure:
    name, item = pair
    try:
        return work(item)
    except PmmsynthError as error:
        is_ours = error.exit_code == PmmsynthError.exit_code
        return Failure(name, _one_line(error), is_ours=is_ours, is_input=isinstance(error, BadInput))
    except OSError as error:  # disk full, no permission: the machine's fault, and the message names the file
        reason = f"found {_one_line(error)}; expected to read and write there; check space and permissions"
        return Failure(name, reason)
    except Exception as error:
        if is_of_memory(error):
            reason = f"found too little memory ({_one_line(error)}); expected enough; lower --jobs or --memory"
            return Failure(name, reason)
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        return Failure(name, f"unexpected {type(error).__name__} in {place}: {_one_line(error)}", is_ours=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
