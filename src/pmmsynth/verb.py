"""What the commands have in common: how they speak, how they go over many cases."""

import io
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from pmmsynth.console import Reporter, tell
from pmmsynth.errors import PmmsynthError, is_of_memory


@dataclass(frozen=True)
class Verb:
    """What every verb understands."""

    quiet: bool = field(default=False, kw_only=True)
    """Print errors only."""
    json: bool = field(default=False, kw_only=True)
    """Print one JSON object per line instead of text."""

    @property
    def reporter(self) -> Reporter:
        return Reporter(quiet=self.quiet, as_json=self.json)

    def run(self) -> int:
        """Do the work; returns the exit code."""
        raise NotImplementedError


@dataclass(frozen=True)
class ManyCases(Verb):
    """What verbs that write something for each of many cases understand."""

    jobs: int = field(default=1, kw_only=True)
    """Cases at a time, each in a process of its own; -1 for one per core."""
    cluster: str | None = field(default=None, kw_only=True)
    """Address of a Dask scheduler, as tcp://host:8786, whose workers do the cases instead."""
    overwrite: bool = field(default=False, kw_only=True)
    """Make again what is there."""


def ending(work: Callable[[], int | None]) -> int:
    """Do the work of a command; its exit code, or that of the error it ended with, said in one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that a terminal cannot show is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return work() or 0
    except PmmsynthError as error:
        tell(f"pmmsynth: {error}", sys.stderr)
        return error.exit_code
    except OSError as error:
        tell(f"pmmsynth: found {error}; expected to read and write there; check space and permissions", sys.stderr)
        return 4
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if is_of_memory(error):
            reason = " ".join(str(error).split())
            tell(f"pmmsynth: found too little memory ({reason}); expected enough; ask for less", sys.stderr)
            return 4
        tell(f"{traceback.format_exc()}pmmsynth: a fault of the program; please report the lines above", sys.stderr)
        return 70
