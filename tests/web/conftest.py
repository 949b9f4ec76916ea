"""Fixtures of the web server's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_desk import a_browser
from playwright.sync_api import Browser
from web_study import Served

from pmmsynth.web.app import create_app
from study_phantoms import make_study


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as found:
        yield found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    folder, key = tmp_path / "study", tmp_path / "key"
    study = Served(folder, key, make_study(folder, key))
    study.app = create_app(folder, study.now)
    yield study
    study.ledger.close_connections()
