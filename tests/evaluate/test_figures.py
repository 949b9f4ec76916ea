"""Figures show what they are given, and the whole evaluation leaves its files."""

import numpy as np
import pytest

from pmmsynth.errors import UsageError
from pmmsynth.evaluate import Method, Score, evaluate, read_scores
from pmmsynth.evaluate.figures import ERROR_MAX, PanelRow, heat_map, panel, save
from pmmsynth.modality import Task, all_tasks


def half(images, sources, target, case):
    return 0.5 * images[0]


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in [axes.title, *axes.texts]]


def images_of(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


def test_panel_shares_window_and_error_scale():
    truth = np.zeros((40, 40), np.float32)
    truth[10:30, 10:30] = 0.5
    made = {"ours": truth * 0.8, "copy": truth * 0.2}
    figure = panel([PanelRow("A", Task.parse("T1+T2->FLAIR"), [truth, truth], truth, made, truth > 0.4)])
    shown = texts(figure)
    assert {"input T1", "input T2", "true FLAIR", "ours", "copy", "A\nT1+T2 → FLAIR"} <= set(shown)
    assert "26.02 dB" in next(t for t in shown if "dB" in t)  # MSE = 0.1^2 / 4 of the pixels
    grey = [i for i in images_of(figure) if i.get_cmap().name == "gray"]
    assert {i.get_clim() for i in grey[2:]} == {(0, 0.5)}
    assert {i.get_clim() for i in images_of(figure) if i.get_cmap().name == "inferno"} == {(0, ERROR_MAX)}


def grid_scores():
    result = []
    for task in all_tasks(("T1", "T2", "FLAIR")):
        for method, psnr in (("ours", 25 + len(task.sources)), ("copy", 20), ("regression", 22)):
            result.append(
                Score(
                    method=method, digest="d", dataset="A", case="1", split="test", task=str(task), target=task.target,
                    protocol="paper-v1", region="crop", psnr=psnr, ssim=0.5, mae=0.1, n_slices=3,
                )
            )  # fmt: skip
    return result


def test_heat_map_places_every_task():
    scores = grid_scores()
    plain = images_of(heat_map(scores, "ours", "A"))[0].get_array()
    assert plain.shape == (6, 3)  # T1, T2, FLAIR, T1+T2, T1+FLAIR, T2+FLAIR
    assert plain[0].tolist() == [None, 26, 26]
    assert plain[3].tolist() == [None, None, 27]
    gain = images_of(heat_map(scores, "ours", "A", gain=True))[0].get_array()
    assert gain[0].tolist() == [None, 4, 4]  # to the better floor


def test_evaluate_writes_everything_and_resumes(store, tmp_path, quiet):
    methods = {"w/o PFM": Method(half, "d")}
    done = evaluate(store, methods, out=tmp_path, tasks="grid", reporter=quiet)
    assert done.exit_code == 0
    assert "| w/o PFM | ‖ | copy | mean image | regression |" in done.table
    assert done.table in (tmp_path / "table.md").read_text()
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {
        "panel_glioma.png", "grid_glioma_w%2Fo PFM.png", "grid_glioma_w%2Fo PFM_gain.png",
        "panel_stroke.png", "grid_stroke_w%2Fo PFM.png", "grid_stroke_w%2Fo PFM_gain.png",
    }  # fmt: skip
    assert {s.method for s in read_scores(tmp_path / "scores.jsonl")} == {"w/o PFM", "copy", "mean image", "regression"}
    table = (tmp_path / "table.csv").read_text()
    assert evaluate(store, methods, out=tmp_path, tasks="grid", reporter=quiet).rows_added == 0
    assert (tmp_path / "table.csv").read_text() == table


@pytest.mark.parametrize("name", ["index.html", "figures/panel_of_mine.png"])
def test_a_folder_of_other_things_is_left_alone(store, tmp_path, quiet, name):
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    with pytest.raises(UsageError, match="found files but no evaluation"):
        evaluate(store, {}, out=tmp_path, tasks=["T1->T2"], overwrite=True, reporter=quiet)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [own]
    assert own.read_text() == "mine"


@pytest.mark.parametrize("left", [".writing-0.jsonl", "scores.jsonl"])
def test_what_a_killed_evaluation_left_is_its_own(store, tmp_path, quiet, left):
    (tmp_path / left).touch()
    (tmp_path / ".DS_Store").touch()
    assert evaluate(store, {}, out=tmp_path, tasks=["T1->T2"], reporter=quiet).rows_added > 0


def test_a_method_may_not_take_a_floors_name(store, tmp_path, quiet):
    with pytest.raises(UsageError, match="no floor"):
        evaluate(store, {"copy": Method(half, "d")}, out=tmp_path, reporter=quiet)


def test_save_is_a_png(tmp_path):
    save(heat_map(grid_scores(), "ours", "A"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
