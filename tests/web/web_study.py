"""A study on a server in this process, with a clock that stands until it is moved."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from pmmsynth.study.files import StudyRecord
from pmmsynth.study.ledger import Ledger
from study_phantoms import tokens

REPORT = {"findings": "Mass, frontal left.", "type": "glioma", "grade": "high", "impression": "GBM", "confidence": 4}


@dataclass
class Served:
    """A study on a server in this process."""

    folder: Path
    key: Path
    record: StudyRecord
    time: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    app: FastAPI | None = None

    def now(self) -> datetime:
        return self.time

    @property
    def ledger(self) -> Ledger:
        return self.app.state.serving.ledger

    def wait(self, **time: float) -> None:
        self.time += timedelta(**time)

    def client(self, who: str = "") -> TestClient:
        """A browser on our pages, of somebody who is signed in."""
        client = TestClient(self.app, headers={"X-Requested-With": "pmmsynth"}, follow_redirects=False)
        if who:
            assert client.post("/signin", data={"token": tokens()[who]}).status_code == 303
        return client


def place(client: TestClient) -> str:
    """Where the report of the reader's current item is."""
    return f"/api/items/{client.get('/api/progress').json()['current']}"


def submit(client: TestClient) -> dict[str, Any]:
    """Report on the current item; returns where the reader stands then."""
    answer = client.post(f"{place(client)}/submit", json=REPORT)
    assert answer.status_code == 200
    return answer.json()
