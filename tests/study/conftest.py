"""A store, a model, and studies made from them."""

import dataclasses
import random
from pathlib import Path

import pytest

from pmmsynth.console import Reporter
from pmmsynth.store import Store
from pmmsynth.study.create import Source, create
from pmmsynth.study.files import StudyRecord
from pmmsynth.study.form import Form
from study_stores import make_study_model, make_study_store

QUIET = Reporter(quiet=True)
CASES = 6


@dataclasses.dataclass(frozen=True)
class Made:
    """A study, its key, and what it was made from."""

    out: Path
    key: Path
    store: Store
    source: Source

    def again(self, **changes: object) -> StudyRecord:
        """The same call, or one that differs."""
        asked = {"readers": ("A", "B"), "title": "Study", "washout_days": 14.0, "form": Form(), "seed": 1}
        return create(self.source, self.out, self.key, reporter=QUIET, **(asked | changes))

    def at(self, place: Path) -> "Made":
        """The same in folders that are not there yet."""
        return dataclasses.replace(self, out=place / "study", key=place / "key")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Names of folders are the same in every run, so that tests of chance give the same result."""
    place = tmp_path_factory.mktemp("made")
    store = make_study_store(place / "store", CASES, incomplete=1)
    source = Source.of(store, make_study_model(place / "model"), "test", QUIET)
    study = Made(place / "study", place / "key", store, source)
    with pytest.MonkeyPatch.context() as patch:
        drawn = random.Random(5)
        patch.setattr("secrets.token_hex", lambda n: drawn.randbytes(n).hex())
        patch.setattr("secrets.SystemRandom", lambda: drawn)
        study.again()
    return study


@pytest.fixture
def quiet() -> Reporter:
    return QUIET


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies made meanwhile have empty folders in the place of images, and no pictures: that is quicker."""
    monkeypatch.setattr("pmmsynth.study.create.write_images", lambda folder, *_: folder.mkdir(parents=True))
    monkeypatch.setattr("pmmsynth.study.create.write_montage", lambda *_: None)
