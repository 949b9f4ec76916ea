"""The verbs of `pmmsynth reading` that begin and end a study."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tyro.conf import Positional, UseAppendAction

from pmmsynth.errors import UsageError
from pmmsynth.verb import Verb


@dataclass(frozen=True)
class Create(Verb):
    """Make a blinded reading study: each case real, and synthesized in three ways; the same command again resumes."""

    store: Positional[Path]
    """What prepare wrote."""
    model: Positional[Path]
    """A model or run folder."""
    out: Path
    """Folder of the study, to be served."""
    key: Path
    """Folder for what tells which images are real; out of reach of the readers."""
    reader: UseAppendAction[tuple[str, ...]]
    """Code of a radiologist, once for each."""
    title: str = "Reading study"
    """Shown to the readers."""
    split: Literal["train", "val", "test"] = "test"
    """Which cases; those that lack a sequence are left out."""
    washout_days: float = 14.0
    """Days between the last report of a sitting and the first of the next."""
    form: Path | None = None
    """A TOML file with the types and grades to choose from."""
    seed: int | None = None
    """Of what is drawn by lot; drawn itself if not given, and kept with the key."""

    def run(self) -> int:
        from pmmsynth.store import Store
        from pmmsynth.study.create import Source, create
        from pmmsynth.study.files import TOKENS
        from pmmsynth.study.form import Form

        form = Form.read(self.form)
        study = create(
            Source.of(Store(self.store), self.model, self.split, self.reporter),
            self.out,
            self.key,
            readers=self.reader,
            title=self.title,
            washout_days=self.washout_days,
            form=form,
            seed=self.seed,
            reporter=self.reporter,
        )
        items = sum(len(reader.items) for reader in study.readers)
        tokens = self.out / TOKENS
        self.reporter.say(f"{items} reports to be written; tokens: {tokens}", reports=items, tokens=tokens)
        return 0


@dataclass(frozen=True)
class Close(Verb):
    """End a reading study for good and write its reports, with what was shown, for score."""

    study: Positional[Path]
    """The folder create wrote."""
    key: Path
    """Its key."""
    out: Path
    """CSV file of reports."""
    unfinished: bool = False
    """End it although reports are missing."""

    def run(self) -> int:
        if find_spec("sqlalchemy") is None:
            raise UsageError("found no SQLAlchemy; expected the package; pip install 'pmmsynth[reading]'")
        from pmmsynth.study.close import close

        reports = close(self.study, self.key, self.out, unfinished=self.unfinished, reporter=self.reporter)
        self.reporter.say(f"reports: {reports}", reports=reports)
        return 0
