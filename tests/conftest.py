"""Fixtures for all tests: a prepared store of phantoms, the real cases, shape checks, one thread, one seed."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)  # the same sums in the same order on every machine, and no waiting between small ones

if "pmmsynth" not in sys.modules:  # shapes are checked in tests, not in use
    install_import_hook(
        ["pmmsynth.nets", "pmmsynth.baselines", "pmmsynth.losses", "pmmsynth.data", "pmmsynth.predict"],
        "beartype.beartype",
    )

from dask_cluster import running, scheduler
from phantoms import COHORT, make_store
from pmmsynth.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SCRIPTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", COHORT)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of `experiments/` can be imported."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real cases at {SHARED}")
    return SHARED


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes folders unreadable, also for root."""
    folders, scandir = set(), os.scandir

    def denied(place):
        if Path(place) in folders:
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", denied)
    return folders.add


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[str]:
    """A scheduler and two workers in processes of their own."""
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder) as (_, port), running("worker", port, folder):
        yield f"tcp://127.0.0.1:{port}"
