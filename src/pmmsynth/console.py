"""What a person sees while work goes on: a progress bar on a terminal, plain lines elsewhere, or nothing."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Advance(Protocol):
    """Say that one more unit is done, with a few words on it."""

    def __call__(self, note: str = "", by: int = 1) -> None: ...


@dataclass(frozen=True)
class Reporter:
    """Where a command speaks. `quiet` leaves errors only; `as_json` prints one JSON object per event on stdout."""

    quiet: bool = False
    as_json: bool = False
    every_seconds: float = 10.0

    def say(self, text: str, **facts: Any) -> None:
        """One line of news; with `as_json` the facts (and the text) as an object."""
        if self.as_json:
            tell(_json({"message": text, **facts}), sys.stdout)
        elif not self.quiet:
            tell(text, sys.stdout)

    def warn(self, text: str, **facts: Any) -> None:
        """One line on stderr on what is wrong, also when quiet."""
        if self.as_json:
            tell(_json({"warning": text, **facts}), sys.stdout)
        else:
            tell(text, sys.stderr)

    def remark(self, text: str, **facts: Any) -> None:
        """The same on what a person should know though nothing is wrong; not when quiet."""
        if self.as_json or not self.quiet:
            self.warn(text, **facts)

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Count `total` units from `done` on, with the time left."""
        if self.quiet or self.as_json or not sys.stderr.isatty():
            yield self._plain(label, total, done)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")
            yield lambda note="", by=1: bar.update(task, advance=by, note=note)

    def _plain(self, label: str, total: int, done: int) -> Advance:
        start = last = time.monotonic()
        first = done

        def advance(note: str = "", by: int = 1) -> None:
            nonlocal done, last
            done += by
            now = time.monotonic()
            if now - last >= self.every_seconds or done >= total:
                last = now
                left = (now - start) / max(done - first, 1) * (total - done)
                self.say(
                    f"{label} {done}/{total}, {clock(left)} left{'  ' + note if note else ''}",
                    stage=label,
                    done=done,
                    total=total,
                    seconds_left=round(left),
                )

        return advance


def tell(text: str, stream: TextIO) -> None:
    """Print a line now; where nobody reads any more, it and all that follow go nowhere, and the work goes on."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _json(facts: dict[str, Any]) -> str:
    """One line of JSON; what JSON has no number for (a PSNR of infinity) is null."""
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in facts.items()}
    return json.dumps(plain, default=str, allow_nan=False)


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
