"""The same work on many cases: in parallel, with progress, one failing case not stopping the others."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from joblib import Parallel, delayed

from pmmsynth.console import Reporter
from pmmsynth.errors import PmmsynthError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """A case that could not be done, and the one line that says why."""

    name: str
    reason: str
    is_ours: bool
    """A fault of the program rather than of the input."""


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
    reporter: Reporter,
) -> Outcome[Result]:
    """Call `work` on every item, `jobs` at a time (processes; 1 means in this one), results in the order of items.

    Bad input and any other error of one item is reported in one line and counted; the rest goes on.

    Raises:
        UsageError: If `jobs` is 0; negative numbers count from the number of cores, as in joblib.
    """
    if jobs == 0:
        raise UsageError("found --jobs 0; expected at least 1, or -1 for all cores; choose a number")
    results: list[Result] = []
    failures: list[Failure] = []
    pairs = list(zip(names, items, strict=True))
    stream = Parallel(n_jobs=jobs, return_as="generator")(delayed(_guarded)(work, n, i) for n, i in pairs)
    with reporter.progress(label, len(pairs)) as advance:
        for (name, _), answer in zip(pairs, stream, strict=True):
            if isinstance(answer, Failure):
                failures.append(answer)
                reporter.warn(f"{name}: {answer.reason}", case=name)
            else:
                results.append(answer)
            advance(name)
    return Outcome(tuple(results), tuple(failures))


def _guarded(work: Callable[[Item], Result], name: str, item: Item) -> Result | Failure:
    try:
        return work(item)
    except PmmsynthError as error:
        return Failure(name, _one_line(error), is_ours=error.exit_code == PmmsynthError.exit_code)
    except OSError as error:  # disk full, no permission: the machine's fault, and the message names the file
        return Failure(name, f"{type(error).__name__}: {_one_line(error)}", is_ours=False)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        return Failure(name, f"unexpected {type(error).__name__} in {place}: {_one_line(error)}", is_ours=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
