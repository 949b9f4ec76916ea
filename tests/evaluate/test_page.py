"""The page of an evaluation and what methods cost: numbers known in closed form, nothing measured twice."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from phantoms import make_store
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.evaluate import FLOORS, Method, evaluate, figures, floors, report
from pmmsynth.evaluate.pictures import Pictures
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


def test_methods_that_share_no_case_have_a_page_without_rows(store: Store, tmp_path: Path) -> None:
    """As when each failed on the cases of the other."""
    out, quiet = tmp_path / "out", Reporter(quiet=True)
    evaluate(store, {"one": Method(convolved, "d")}, out=out, tasks=TASKS, max_cases=1, reporter=quiet)
    lines = (out / "scores.jsonl").read_text().splitlines(keepends=True)
    moved = [line.replace("case01", "case99").replace('"copy"', '"other"') for line in lines if '"copy"' in line]
    (out / "scores.jsonl").write_text("".join(line for line in lines if '"one"' in line) + "".join(moved))
    evaluate(store, {"one": Method(convolved, "d")}, out=out, tasks=TASKS, max_cases=1, reporter=quiet)
    assert "other</th>" in (out / "index.html").read_text()


def test_without_curves_there_is_no_section_of_them(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(store, {"blur": Method(convolved, "d")}, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert "<h2>Training</h2>" not in (out / "index.html").read_text()


def level(value: float, digest: str, **more: object) -> Method:
    """One grey everywhere."""
    return Method(lambda images, *_: np.full_like(images[0], value), digest, **more)  # type: ignore[arg-type]


def shown(store: Store, out: Path, methods: dict[str, Method], monkeypatch: pytest.MonkeyPatch, **how: object):
    """What a call draws: per task of the panel the grey of each method in the middle of the brain, and the labels."""
    rows, labels = [], []
    monkeypatch.setattr(report, "panel", lambda found: rows.extend(found) or figures.panel(found))
    monkeypatch.setattr(
        "matplotlib.axes.Axes.legend", lambda axes, **_: labels.extend(axes.get_legend_handles_labels()[1])
    )
    evaluate(store, methods, out=out, reporter=Reporter(quiet=True), **{"tasks": TASKS, **how})  # type: ignore[arg-type]
    greys = {
        str(row.task): {n: round(float(i[16, 16]), 3) for n, i in row.made.items() if n not in FLOORS} for row in rows
    }
    return greys, labels


def test_methods_added_one_by_one_are_all_shown(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    records = [tmp_path / name / "metrics.jsonl" for name in ("a", "b")]
    for record in records:
        record.parent.mkdir()
        record.write_text('{"global_step": 5, "validation_psnr": 20.0}\n{"global_step": 9, "validation_psnr": 21.0}\n')
    one, two = level(0.25, "1", records=records[:1]), level(0.5, "2", records=records[1:])
    shown(store, out, {"one": one}, monkeypatch)
    records[0].unlink()  # of a run that was tidied away
    greys, labels = shown(store, out, {"two": two}, monkeypatch)
    assert greys == {task: {"one": 0.25, "two": 0.5} for task in TASKS}
    assert labels == ["one", "two"]
    kept = Pictures.read(out / "pictures.safetensors", {"one": "1", "two": "2"})
    assert {name: curve.tolist() for each in kept.curves.values() for name, curve in each.items()} == {
        name: [[5, 9], [20, 21]] for name in ("one", "two")
    }
    monkeypatch.setattr(Method, "run", lambda *_: pytest.fail("all is there"))
    assert shown(store, out, {"two": two}, monkeypatch)[0] == greys


def test_pictures_of_other_weights_or_damaged_ones_are_made_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shown(store, out, {"one": level(0.25, "1")}, monkeypatch)
    greys, _ = shown(store, out, {"one": level(0.75, "new")}, monkeypatch, overwrite=True)
    assert greys == {task: {"one": 0.75} for task in TASKS}
    (out / "pictures.safetensors").write_bytes(b"\xff" * 20)
    assert shown(store, out, {"one": level(0.75, "new")}, monkeypatch)[0] == greys


def test_heat_maps_are_of_the_scores_on_the_page(store: Store, tmp_path: Path) -> None:
    """Not of weights or a split of before; two names never share a file."""
    out = tmp_path / "out"

    def grids(methods: dict[str, Method], **how: object) -> list[str]:
        evaluate(store, methods, out=out, reporter=Reporter(quiet=True), **how)  # type: ignore[arg-type]
        page = (out / "index.html").read_text()
        captions = re.findall(r"<figcaption>(A_[^<]*)</figcaption>", page)
        assert len(captions) == len(list((out / "figures").glob("grid_*")))
        return captions

    both = ["A_w-o", "A_w-o_gain", "A_w/o", "A_w/o_gain"]
    methods = {"w/o": level(0.25, "1"), "w-o": level(0.5, "2")}
    assert sorted(grids(methods, tasks="grid")) == both
    assert sorted(grids(methods, tasks=TASKS)) == both, "their rows are still there"
    assert grids({"w/o": level(0.3, "new")}, tasks=TASKS, overwrite=True) == ["A_w-o", "A_w-o_gain"]
    for path in (store.root / "A").glob("case0[12]/case.json"):
        path.write_text(path.read_text().replace('"split": "test"', '"split": "val"'))
    assert grids(methods, tasks=TASKS, split="val", overwrite=True) == []


@pytest.mark.parametrize("scored_before", [False, True])
def test_a_damaged_case_costs_its_own_rows_only(store: Store, tmp_path: Path, scored_before: bool) -> None:
    out = tmp_path / "out"
    methods = {"one": level(0.25, "1")}
    if scored_before:
        evaluate(store, methods, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    array = store.root / "A" / "case01" / "images.npy"
    array.write_bytes(array.read_bytes()[:-9])
    done = evaluate(store, methods, out=out, tasks=TASKS, reporter=Reporter(quiet=True))
    assert done.exit_code == (0 if scored_before else 5)
    assert [f.name for f in done.failures] == ([] if scored_before else ["A/case01"])
    page = (out / "index.html").read_text()
    assert f"<td>A</td><td>T1-&gt;T2</td><td>{2 if scored_before else 1}</td>" in page
    assert 'alt="A"' in page, "the picture is of the other case"
    assert "one" in json.loads((out / "compute.json").read_text())
    other = store.root / "A" / "case02" / "images.npy"
    other.write_bytes(other.read_bytes()[:-9])
    done = evaluate(store, methods, out=tmp_path / "none", tasks=TASKS, reporter=Reporter(quiet=True))
    assert done.exit_code == 4
    assert not (tmp_path / "none" / "index.html").exists()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("damage", ["cut", "swapped"])
def test_floors_are_fitted_once_on_what_prepare_wrote(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, damage: str
) -> None:
    """Else one line that names the training case, before any work."""
    fits, here, honest = [], os.getpid(), floors.fit_least_squares

    def counted(*given: object) -> object:
        assert os.getpid() == here, "fitted again in a worker"
        fits.append(1)
        return honest(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(floors, "fit_least_squares", counted)
    done = evaluate(store, {}, out=tmp_path / "sound", tasks=TASKS, jobs=jobs, reporter=Reporter(quiet=True))
    assert (done.exit_code, len(fits)) == (0, 1)
    array = store.root / "A" / "case00" / "images.npy"
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-9])
    else:
        np.save(array, np.load(array)[::-1])
    with pytest.raises(BadInput, match=r"case00/images\.npy: not the bytes case\.json was written for"):
        evaluate(store, {}, out=tmp_path / "damaged", tasks=TASKS, jobs=jobs, reporter=Reporter(quiet=True))
    assert not any((tmp_path / "damaged").glob("index.html"))


def test_pictures_of_others_stay_and_long_names_have_short_files(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "figures" / "fig1_for_paper.png"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    (tmp_path / "scores.jsonl").touch()  # of an evaluation, to which the figure was added
    name = "метод" * 20
    evaluate(store, {name: level(0.25, "1")}, out=tmp_path, tasks="grid", reporter=Reporter(quiet=True))
    assert own.read_bytes() == b"mine"
    grids = sorted(path.name for path in own.parent.glob("grid_A_*.png"))
    assert len(grids) == 2
    assert all(len(grid) < 200 for grid in grids)


def test_heat_maps_of_a_dataset_whose_cases_differ(tmp_path: Path) -> None:
    """No case has T1 and ADC, so nobody is asked for one from the other."""
    kinds = ["T1", "FLAIR"], ["FLAIR", "ADC"]
    store = make_store(tmp_path / "store", {"B": [(split, names) for split in ("train", "test") for names in kinds]})
    evaluate(store, {"one": level(0.25, "1")}, out=tmp_path / "out", tasks="grid", reporter=Reporter(quiet=True))
    drawn = {path.name for path in (tmp_path / "out" / "figures").glob("grid_*")}
    assert drawn == {"grid_B_one.png", "grid_B_one_gain.png"}
