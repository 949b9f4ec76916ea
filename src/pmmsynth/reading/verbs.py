"""The verbs of `pmmsynth reading`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from pmmsynth.verb import Verb


@dataclass(frozen=True)
class Score(Verb):
    """Compare reports on sets of images with those on the reference: findings, impressions, agreement of readers."""

    reports: Positional[tuple[Path, ...]]
    """CSV files with the columns reader, case, set, findings, impression."""
    out: Path
    """Folder for the tables and the page."""
    reference: str = "real"
    """The set with which the others are compared."""
    labels: Path | None = None
    """A TOML file of labels to look for in impressions, instead of the one that comes with the program."""
    embedding: str | None = None
    """A model of sentence-transformers in addition: a folder, or a name to download such as BAAI/bge-base-en-v1.5."""

    def run(self) -> int:
        from pmmsynth.reading.score import score

        page = score(
            self.reports,
            self.out,
            reference=self.reference,
            labels=self.labels,
            embedding=self.embedding,
            reporter=self.reporter,
        )
        self.reporter.say(f"page: {page}", page=page)
        return 0
