"""Where many calls run: in processes of this machine (joblib) or on a cluster (Dask); answers as they come."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from warnings import catch_warnings, filterwarnings

from joblib import Parallel, cpu_count, delayed, effective_n_jobs, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError

if TYPE_CHECKING:
    from distributed import Client

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

CONNECT_SECONDS = 10
"""How long a Dask scheduler is waited for."""


class Lost:
    """Instead of an answer: the process that was to give it ended before, also when it had this call alone."""


def on_processes(
    call: Callable[[Argument], Answer], arguments: Mapping[int, Argument], jobs: int
) -> Iterator[tuple[int, Answer | Lost]]:
    """Numbers and answers in the order they come from `jobs` processes: 1 is this one, others share the cores.

    Args:
        call: What is called; unless in this process, it, its arguments and answers must be picklable.
        arguments: By number.
        jobs: Negative numbers count from the number of cores, as in joblib.
    """
    jobs = max(min(effective_n_jobs(jobs), len(arguments)), 1)
    yield from _retried(partial(_parallel, call, jobs), arguments, tries=3)


def on_cluster(
    call: Callable[[Argument], Answer], arguments: Mapping[int, Argument], address: str, label: str, reporter: Reporter
) -> Iterator[tuple[int, Answer | Lost]]:
    """The same from the workers of a Dask scheduler, as many at a time as they have threads.

    Raises:
        UsageError: If Dask is not installed, or no scheduler is at the address.
        BadInput: If the scheduler goes away, or a worker does not understand the call.
    """
    with _connected(address, reporter) as client:
        yield from _retried(partial(_submitted, client, call, label), arguments, tries=2)  # of a few by Dask each


def _retried(
    attempt: Callable[[Mapping[int, Argument]], Iterator[tuple[int, Answer | Lost]]],
    arguments: Mapping[int, Argument],
    tries: int,
) -> Iterator[tuple[int, Answer | Lost]]:
    """Any of the calls a process had may be what ended it: they are tried again after the others, each alone."""
    groups, losses = [list(arguments)], Counter[int]()
    for group in groups:
        for number, answer in attempt({number: arguments[number] for number in group}):
            losses[number] += isinstance(answer, Lost)
            if isinstance(answer, Lost) and losses[number] < tries:
                groups.append([number])
            else:
                yield number, answer


# --- this machine ---------------------------------------------------------------------------------------------------


def _parallel(
    call: Callable[[Argument], Answer], jobs: int, arguments: Mapping[int, Argument]
) -> Iterator[tuple[int, Answer | Lost]]:
    waiting = dict(arguments)
    while waiting:  # joblib gives up when a process is lost
        under_way: set[int] = set()
        with parallel_config(backend="loky", inner_max_num_threads=_threads(jobs)):
            parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
        with catch_warnings():  # made an error, this one would end the thread that joblib waits for
            filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
            try:
                for number, answer in parallel(_hand_out(call, waiting, under_way)):
                    under_way.discard(number)
                    yield number, answer
            except TerminatedWorkerError:
                yield from ((number, Lost()) for number in under_way)


def _hand_out(call: Callable[[Argument], Answer], waiting: dict[int, Argument], under_way: set[int]) -> Iterator[Any]:
    """Calls for joblib, which takes one when it can be started."""
    while waiting:
        number = next(iter(waiting))
        under_way.add(number)
        yield delayed(_numbered)(number, call, waiting.pop(number))


def _numbered(number: int, call: Callable[[Argument], Answer], argument: Argument) -> tuple[int, Answer]:
    return number, call(argument)


def _threads(jobs: int) -> int:
    """Of each process: all together no more than there are cores, and none more than OMP_NUM_THREADS.

    joblib puts it into the environment a process starts with, where torch and BLAS read it when they are loaded.
    """
    fair = max(cpu_count() // jobs, 1)
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(fair, int(said)) if said.isdecimal() and int(said) else fair


# --- a cluster ------------------------------------------------------------------------------------------------------


def _connected(address: str, reporter: Reporter) -> "Client":
    """A client of the scheduler at `address`, once it has said that it is one."""
    try:
        from distributed import Client, Security, rpc
        from distributed.utils import LoopRunner, wait_for
    except ImportError as error:
        raise UsageError(
            "found --cluster without Dask; expected dask and distributed; pip install 'pmmsynth[cluster]'"
        ) from error

    async def identity() -> dict[str, Any]:  # a client alone waits for ever for a server that is not Dask's
        async with rpc(address, connection_args=Security().get_connection_args("client")) as there:
            return await wait_for(there.identity(), CONNECT_SECONDS)

    said: dict[str, Any] = {}
    try:
        said = LoopRunner(asynchronous=False).run_sync(identity)
        found = said["type"]
    except TimeoutError:
        found = f"no answer in {CONNECT_SECONDS} s"
    except Exception as error:  # of many kinds: no port, no such protocol, no Dask
        found = " ".join(f"{type(error).__name__}: {error}".split())
    if found != "Scheduler":
        raise UsageError(
            f"found {found} at {address}; expected a Dask scheduler, as tcp://host:8786; start one with dask scheduler"
        )
    if not said["workers"]:
        reporter.warn(f"no worker at {address} yet: waiting; start some with dask worker {address}")
    return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)


def _submitted(
    client: "Client", call: Callable[[Argument], Answer], label: str, arguments: Mapping[int, Argument]
) -> Iterator[tuple[int, Answer | Lost]]:
    """Dask itself tries the calls of a lost worker again, a few times."""
    from distributed import KilledWorker, as_completed

    futures = client.map(call, list(arguments.values()), key=label, pure=False)
    numbers = dict(zip(futures, arguments, strict=True))
    del futures  # an answer stays on its worker, and is computed again if lost, as long as somebody holds its future
    for future in as_completed(list(numbers), loop=client.loop):
        number = numbers.pop(future)
        try:
            yield number, future.result()
        except KilledWorker:
            yield number, Lost()
        except Exception as error:
            raise BadInput(
                " ".join(f"{type(error).__name__} from the cluster: {error}".split()),
                "a scheduler that stays, and workers with this version of pmmsynth",
                "see their logs, then run the same command again",
            ) from error
