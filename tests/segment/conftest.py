"""Gliomas of both conventions, a segmenter of few steps."""

from pathlib import Path

import pytest

from pmmsynth.console import Reporter
from pmmsynth.segment.train import SegmentConfig, train_segmenter
from pmmsynth.store import Store
from segment_phantoms import make_segment_store

TINY = SegmentConfig(steps=3, batch_size=4, width=2, precision="32-true")


@pytest.fixture(scope="session")
def gliomas(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_segment_store(tmp_path_factory.mktemp("gliomas") / "store", "A", "B")


@pytest.fixture(scope="session")
def full(gliomas: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_segmenter(gliomas, tmp_path_factory.mktemp("full") / "run", TINY, reporter=Reporter(quiet=True))


@pytest.fixture
def quiet() -> Reporter:
    return Reporter(quiet=True)
