"""What a person decides by whether to keep a case: numbers, reasons and pictures, also of cases not in the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from pmmsynth.atomic import write_text
from pmmsynth.case import FolderName
from pmmsynth.prepare.pictures import Pictures
from pmmsynth.prepare.quality import remarks, unfit
from pmmsynth.store import Frozen

FOLDER = "quality"
"""Of the store; so no dataset is called that."""
Verdict = Literal["excluded", "flagged", "kept"]


class Review(Frozen):
    """A case of the cohort as it is judged.

    Attributes:
        failure: Why it is not in the store, in one line; None if it is.
        reference: The modality the others were brought to.
        quality: As in the record of the case; empty if it failed before.
        pictures: None if it failed before.
        inputs: sha256 of every input file.
        settings: Digest of what it was prepared with.
    """

    dataset: FolderName
    case: FolderName
    failure: str | None = None
    reference: str | None = None
    quality: dict[str, dict[str, float]] = Field(default_factory=dict)
    pictures: Pictures | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
    settings: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.failure is not None:
            return "excluded"
        return "flagged" if self.reasons else "kept"

    @property
    def reasons(self) -> list[str]:
        """Why it is excluded, or what to look at, in words."""
        said = remarks(self.quality)
        if self.failure is not None:
            return [self.failure, *said]
        reason = unfit(self.quality)
        return [f"kept because accept names it: {reason}", *said] if reason else said

    def write(self, out: Path) -> None:
        """Write it into a store, complete or not at all."""
        write_text(review_path(out, self.dataset, self.case), self.model_dump_json(exclude_defaults=True) + "\n")


def review_path(out: Path, dataset: str, case: str) -> Path:
    """Where the review of a case is kept in a store."""
    return out / FOLDER / "cases" / dataset / f"{case}.json"


def read_review(path: Path) -> Review | None:
    """The review as it was written; None if it is not there, or not of this version."""
    try:
        return Review.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def read_reviews(out: Path, dataset: str) -> Iterator[Review]:
    """Reviews of a dataset in the order of case names."""
    for path in sorted(review_path(out, dataset, "*").parent.glob("*.json")):
        if review := read_review(path):
            yield review
