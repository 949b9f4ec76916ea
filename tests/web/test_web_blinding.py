"""Nothing the server sends but the voxels tells which set an item is of.

Everything around the voxels is recorded for every item of a study, and a forest is asked to tell the set from it, on
items it has not seen. With a fact that leaks it does; with what the server sends it cannot.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.model_selection import GroupKFold, cross_val_predict
from starlette.testclient import TestClient
from web_study import REPORT, Served, place

from pmmsynth.study.files import read_key
from pmmsynth.web.app import create_app
from study_phantoms import SEQUENCES, make_study

pytestmark = pytest.mark.slow
CASES = tuple(f"P{number}" for number in range(12))
REPEATS = 2
HEADER = 352

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Facts]:
    """One row per item and repetition, with its set under `set` and the item under `item`."""
    folder = tmp_path_factory.mktemp("blinding")
    served = Served(folder / "study", folder / "key", make_study(folder / "study", folder / "key", cases=CASES))
    served.app = create_app(served.folder, served.now)
    shown = read_key(served.key).images
    rows = []
    for reader in served.record.readers:
        for sitting in reader.sittings:
            client = served.client(reader.code)
            for item in sitting:
                visits = [visit(client, item.id) for _ in range(REPEATS)]
                last = facts_of("submit", *timed(client, "POST", f"{place(client)}/submit", item.id))
                truth = {"set": shown[item.images].set, "item": item.id}
                rows += [{**seen, **last, **truth} for seen in visits]
            served.wait(days=14)
    served.ledger.close_connections()
    return rows


def visit(client: TestClient, item: str) -> Facts:
    """All that a reader can ask of an item."""
    asked = [("GET", "/"), ("GET", "/api/progress")]
    asked += [(method, f"/api/items/{item}/report") for method in ("PUT", "GET")]
    asked += [("GET", f"/api/items/{item}/{sequence}.nii") for sequence in SEQUENCES]
    asked += [("HEAD", f"/api/items/{item}/T1.nii")]
    asked += [("GET", f"/api/items/{item}/{name}") for name in ("T3.nii", "images", "submit")]
    facts: Facts = {}
    for method, path in asked:
        facts |= facts_of(f"{method} {path.replace(item, 'ITEM')}", *timed(client, method, path, item))
    return facts


def timed(client: TestClient, method: str, path: str, item: str) -> tuple[Any, float, str]:
    begin = time.perf_counter()
    answer = client.request(method, path, **({"json": REPORT} if method in ("PUT", "POST") else {}))
    return answer, time.perf_counter() - begin, item


def facts_of(name: str, answer: Any, seconds: float, item: str) -> Facts:
    """Status, headers in their order, size, body without voxels, keys in their order, time."""
    image = answer.headers["content-type"] == "application/octet-stream"
    text = (answer.content[:HEADER] if image else answer.content).decode("latin1").replace(item, "ITEM")
    text = re.sub(r'"(reader|done|sitting|current|opens|finished)":[^,}]*', r'"\1":', text)  # not told by the set
    facts: Facts = {
        f"{name} status": str(answer.status_code),
        f"{name} headers": " ".join(answer.headers),
        f"{name} size": float(len(answer.content if image else text)),
        f"{name} body": text,
        f"{name} seconds": seconds,
        f"{name} keys": " ".join(json.loads(answer.content)) if text.startswith("{") else "",
    }
    headers = {key: value for key, value in answer.headers.items() if image or key != "content-length"}
    return facts | {f"{name} header {key}": value for key, value in headers.items()}


def told(rows: list[Facts]) -> float:
    """Of how many items the set is told from what is known of others; by chance 1 in 4."""
    table = DictVectorizer(sparse=False).fit_transform(
        [{name: value for name, value in row.items() if name not in ("set", "item")} for row in rows]
    )
    sets, items = (np.array([row[name] for row in rows]) for name in ("set", "item"))
    forest = RandomForestClassifier(50, max_features=None, random_state=0, n_jobs=1)
    guesses = cross_val_predict(forest, table, sets, groups=items, cv=GroupKFold(6), method="predict_proba")
    names, places = np.unique(items, return_inverse=True)
    votes = np.zeros((len(names), guesses.shape[1]))
    np.add.at(votes, places, guesses)
    truth = np.array([sets[items == name][0] for name in names])
    return float(np.mean(np.unique(sets)[votes.argmax(1)] == truth))


LIMIT = 0.25 + 4 * (0.25 * 0.75 / (2 * 4 * len(CASES))) ** 0.5
"""Four standard deviations above chance."""


def test_what_the_server_sends_does_not_tell_the_set(recorded: list[Facts]) -> None:
    assert len(recorded) == 2 * 4 * len(CASES) * REPEATS
    assert all(recorded[0][f"GET /api/items/ITEM/{s}.nii status"] == "200" for s in SEQUENCES)
    assert told(recorded) < LIMIT


def test_all_but_the_time_is_the_same_for_every_item(recorded: list[Facts]) -> None:
    names = {name for row in recorded for name in row} - {"set", "item"}
    lasting = [name for name in names if not name.endswith("seconds")]
    assert [name for name in lasting if len({row.get(name) for row in recorded}) > 1] == []


PLACE = {"real": 0, "3-to-3": 1, "2-to-4": 2, "1-to-5": 3}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("GET /api/items/ITEM/FLAIR.nii header etag", ["a", "b", "c", "d"]),
        ("GET /api/items/ITEM/FLAIR.nii size", [7264.0, 7265.0, 7266.0, 7267.0]),
        ("GET /api/items/ITEM/FLAIR.nii body", ["", " ", "s", "3"]),
        ("GET /api/progress keys", ["a b c", "a c b", "b a c", "b c a"]),
        ("PUT /api/items/ITEM/report status", ["200", "201", "202", "204"]),
    ],
)
def test_a_fact_that_leaks_is_caught(recorded: list[Facts], name: str, values: list[Any]) -> None:
    assert told([{**row, name: values[PLACE[row["set"]]]} for row in recorded]) > 0.9


def test_a_time_that_leaks_is_caught(recorded: list[Facts]) -> None:
    names = [f"GET /api/items/ITEM/{sequence}.nii seconds" for sequence in SEQUENCES]
    usual = float(np.median([row[name] for row in recorded for name in names]))
    leaking = [{**row, **{name: row[name] + usual * PLACE[row["set"]] for name in names}} for row in recorded]
    assert told(leaking) > 0.8


def test_the_files_the_server_has_do_not_tell_it_either(tmp_path: Path) -> None:
    """What is not there cannot leak: neither the study nor the reports have a word of sets."""
    record = make_study(tmp_path / "study", tmp_path / "key")
    served = Served(tmp_path / "study", tmp_path / "key", record)
    served.app = create_app(served.folder, served.now)
    client = served.client("R1")
    client.put(f"{place(client)}/report", json=REPORT)
    served.ledger.close_connections()
    files = [path for path in served.folder.iterdir() if path.is_file() and path.name != "tokens.csv"]
    assert {path.name for path in files} >= {"study.json", "reports.sqlite"}
    for path in files:
        assert not any(word in path.read_bytes() for word in (b"3-to-3", b"2-to-4", b"1-to-5", b"synthesized", b"P1"))
