"""A Dask scheduler and workers on loopback, started by the commands the documentation gives."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pmmsynth import workers

PAGE = Path(__file__).parents[1] / "docs/how-to/synthesize.md"


def start(verb: str, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """The command the documentation gives, on loopback and with two workers, in its own process group."""
    (command,) = re.findall(rf"^dask ({verb} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for theirs, ours in {"10.0.0.1": "127.0.0.1", "8786": str(port), "--nworkers 8": "--nworkers 2"}.items():
        command = command.replace(theirs, ours)
    source, tests = Path(workers.__file__).parents[1], Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(source), str(tests)]),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "DASK_TEMPORARY_DIRECTORY": str(folder),
    }
    with (folder / f"{verb}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command.split()],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@contextmanager
def running(verb: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(verb, port, folder)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Its process and port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with running("scheduler", port, folder) as process:
        wait_until(lambda: answers(port))
        yield process, port


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_until(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
