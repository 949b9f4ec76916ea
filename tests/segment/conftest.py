"""Gliomas of both conventions, a segmenter of few steps."""

from pathlib import Path

import pytest

from pmmsynth.console import Reporter
from pmmsynth.segment.train import train_segmenter
from pmmsynth.store import Store
from segment_phantoms import TINY, make_segment_store


@pytest.fixture(scope="session")
def gliomas(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_segment_store(tmp_path_factory.mktemp("gliomas") / "store", "A", "B")


@pytest.fixture(scope="session")
def full(gliomas: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_segmenter(gliomas, tmp_path_factory.mktemp("full") / "run", TINY, reporter=Reporter(quiet=True))


@pytest.fixture
def quiet() -> Reporter:
    return Reporter(quiet=True)
