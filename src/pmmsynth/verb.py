"""What the commands have in common: how they speak, how they go over many cases."""

from dataclasses import dataclass, field

from pmmsynth.console import Reporter


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
