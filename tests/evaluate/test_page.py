"""The page of an evaluation and what methods cost: numbers known in closed form, nothing measured twice."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phantoms import make_store
from pmmsynth.console import Reporter
from pmmsynth.evaluate import Method, evaluate
from pmmsynth.store import Store

TASKS = ["T1->T2", "T1+T2->FLAIR"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    names = ["T1", "T2", "FLAIR"]
    return make_store(tmp_path / "store", {"A": [("train", names), ("test", names), ("test", names)]})


def convolved(images: np.ndarray, sources: tuple[str, ...], target: str, case: object) -> np.ndarray:
    """One 3x3 convolution of the first source: 9 multiplications a pixel."""
    weight = torch.full((1, 1, 3, 3), 1 / 9)
    return F.conv2d(torch.from_numpy(images[0][:, None]), weight, padding=1)[:, 0].numpy()


def test_cost_is_counted_once_per_weights(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    method = Method(convolved, "first", parameters=9)

    def cost() -> dict[str, object]:
        evaluate(store, {"blur": method}, out=out, tasks=TASKS, overwrite=True, reporter=Reporter(quiet=True))
        return json.loads((out / "compute.json").read_text())["blur"]

    first = cost()
    assert first["gmacs"] == pytest.approx(9 * 32 * 32 / 1e9)
    assert (first["parameters"], first["task"]) == (9, "T1->T2")
    assert first["ms"] > 0
    assert cost() == first
    method = replace(method, digest="second")
    assert cost()["digest"] == "second"


def test_costs_are_all_of_one_run(store: Store, tmp_path: Path) -> None:
    """A method that is added has the others measured again; those not named keep theirs."""
    out, path = tmp_path / "out", tmp_path / "out" / "compute.json"
    one, other = Method(convolved, "one", parameters=9), Method(convolved, "other", parameters=9)
    evaluate(store, {"one": one}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    alone = json.loads(path.read_text())
    path.write_text(json.dumps({"one": {**alone["one"], "ms": 1e6}}))
    evaluate(store, {"one": one, "other": other}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    both = json.loads(path.read_text())
    assert set(both) == {"one", "other"}
    assert both["one"]["ms"] < 1e6
    assert both["one"]["run"] == both["other"]["run"] > alone["one"]["run"]
    evaluate(store, {"one": one}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert json.loads(path.read_text()) == both


def test_a_method_that_can_do_none_of_the_tasks_has_no_cost_and_costs_the_others_nothing(
    store: Store, tmp_path: Path
) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / "compute.json"
    methods = {"one": Method(convolved, "one"), "elsewhere": Method(convolved, "elsewhere", tasks={"B": TASKS})}
    evaluate(store, methods, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    costs = json.loads(path.read_text())
    assert set(costs) == {"one"}
    path.write_text(json.dumps({"one": {**costs["one"], "ms": 1e6}}))
    evaluate(store, methods, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert json.loads(path.read_text())["one"]["ms"] == 1e6, "not measured again"


def test_costs_of_methods_not_named_stay_as_long_as_their_scores(store: Store, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / "compute.json"
    one, other = Method(convolved, "one", parameters=9), Method(convolved, "other", parameters=9)
    evaluate(store, {"one": one, "other": other}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    first = json.loads(path.read_text())
    new = replace(one, digest="new")
    evaluate(store, {"one": new}, out=out, tasks=TASKS, overwrite=True, reporter=Reporter(quiet=True))
    second = json.loads(path.read_text())
    assert second["other"] == first["other"]
    assert second["one"]["digest"] == "new"
    assert second["one"]["run"] != second["other"]["run"]
    assert "<td>other</td>" in (out / "index.html").read_text()
    evaluate(store, {"one": new, "other": other}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    both = json.loads(path.read_text())
    assert both["one"]["run"] == both["other"]["run"] > second["one"]["run"], "named together: measured in one run"
    rows = (out / "scores.jsonl").read_text().splitlines(keepends=True)
    (out / "scores.jsonl").write_text("".join(row for row in rows if '"method":"other"' not in row))
    evaluate(store, {"one": new}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert json.loads(path.read_text()) == {"one": both["one"]}


def test_the_page_holds_the_tables_curves_and_pictures(store: Store, tmp_path: Path) -> None:
    record = tmp_path / "run" / "metrics.jsonl"
    record.parent.mkdir()
    rows = '{"global_step": 5, "validation_psnr": 20.0}\n{"global_step": 9, "validation_psnr": 21.0}\n'
    record.write_text(rows + '{"global_step": 9, "valid')  # the last line cut short by a kill
    method = Method(convolved, "d", parameters=1_230_000, records=[record])
    out = tmp_path / "out"
    evaluate(store, {"<b>blur</b>": method}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    page = (out / "index.html").read_text()
    assert "<b>blur</b>" not in page, "names are text, not HTML"
    assert "&lt;b&gt;blur" in page
    assert "1.23 M" in page
    assert len(re.findall(r'<img[^>]+src="data:image/png;base64,', page)) == 2  # curves, one panel
    table = (out / "table.csv").read_text().splitlines()
    (row,) = (line.split(",") for line in table if line.startswith("paper-v1,A,T1->T2,<b>blur"))
    assert f"{float(row[5]):.2f}" in page
    for protocol in ("brain", "lesion", "lesion-shell"):
        assert f"<h3>{protocol}</h3>" in page
    assert "http" not in page.replace("http-equiv", ""), "nothing is fetched"


def test_without_curves_there_is_no_section_of_them(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(store, {"blur": Method(convolved, "d")}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert "<h2>Training</h2>" not in (out / "index.html").read_text()
