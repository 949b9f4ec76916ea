"""The verbs from the command line, and the experiment: what is there is not done again."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image, ImageColor

from model_phantoms import make_model
from pmmsynth.cli import main
from pmmsynth.segment.score import read_rows
from pmmsynth.segment.train import TrainingSlices
from segment_phantoms import make_segment_store

SCRIPTS = Path(__file__).parents[2] / "experiments"
TINY = ["--steps", "2", "--width", "2"]


def test_the_verbs(gliomas, tmp_path, capsys):
    store, out = str(gliomas.root), tmp_path / "out"
    model = str(make_model(tmp_path / "model"))
    verb = ["segment", "train", store, "--batch-size", "4", *TINY]
    assert main([*verb, "--out", str(tmp_path / "full")]) == 0
    assert main([*verb, "--out", str(tmp_path / "without"), "--left-out", "t1ce"]) == 0
    assert main([*verb, "--out", str(tmp_path / "mixed"), "--model", model]) == 0
    assert (tmp_path / "mixed" / "synthesized" / "B" / "B0.npy").is_file()
    verb = ["segment", "evaluate", store, "--out", str(out)]
    assert main([*verb, "--segmenter", str(tmp_path / "full")]) == 0
    assert main([*verb, "--segmenter", str(tmp_path / "without")]) == 0
    assert "| - | real | enhancing tumour | 3 |" in (out / "segmentation.md").read_text()
    assert main([*verb, "--segmenter", str(tmp_path / "full"), "--model", model, "--left-out", "T1C"]) == 0
    assert "| T1C | enhancing tumour | 3 |" in (out / "segmentation.md").read_text()
    assert (out / "segmentation.png").is_file()
    assert main(["segment", "export", store, "--out", str(tmp_path / "nnunet"), "--dataset", "B"]) == 0
    assert (tmp_path / "nnunet" / "imagesTs" / "B_B1_0003.nii.gz").is_file()
    capsys.readouterr()
    assert (
        main(["segment", "train", store, "--out", str(tmp_path / "new"), "--target", "lesion", "--left-out", "X"]) == 2
    )
    assert "expected one of several sequences" in capsys.readouterr().err


def test_a_sequence_given_twice_or_a_device_that_is_not_here_is_one_line(gliomas, full, tmp_path, capsys):
    twice = ["--modality", "T1", "--modality", "t1n", "--left-out", "T1"]
    assert main(["segment", "train", str(gliomas.root), "--out", str(tmp_path / "run"), *twice]) == 2
    assert "found T1 twice; expected each sequence once" in capsys.readouterr().err
    asked = ["segment", "evaluate", str(gliomas.root), "--out", str(tmp_path / "out"), "--segmenter", str(full)]
    assert main([*asked, "--device", "nonsense"]) == 2
    assert "found device 'nonsense', not usable here" in capsys.readouterr().err


def test_a_folder_of_other_things_is_left_alone(gliomas, tmp_path, capsys):
    own = tmp_path / "segmentation.md"
    own.write_text("two years of work\n")
    asked = ["segment", "evaluate", str(gliomas.root), "--out", str(tmp_path), "--segmenter", str(tmp_path / "none")]
    assert main(asked) == 2
    assert "found files but no evaluation of segmenters" in capsys.readouterr().err
    assert own.read_text() == "two years of work\n"


@pytest.mark.parametrize(
    ("option", "reason"), [("--steps 0", "steps"), ("--batch-size 1", "batch_size"), ("--width 0", "width")]
)
def test_settings_out_of_range_are_one_line(gliomas, tmp_path, capsys, option, reason):
    assert main(["segment", "train", str(gliomas.root), "--out", str(tmp_path / "run"), *option.split()]) == 2
    told = capsys.readouterr().err
    assert f"found {reason}" in told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()


def test_without_monai_it_is_named(gliomas, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pmmsynth.segment.verbs.find_spec", lambda name: None)
    assert main(["segment", "train", str(gliomas.root), "--out", str(tmp_path)]) == 2
    assert "pip install 'pmmsynth[segment]'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_experiment(tmp_path, monkeypatch):
    """Every sequence left out once, on a cohort with a plain mask; a second call trains and segments nothing."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import fig2c_segmentation
    import stroke_look

    store = make_segment_store(tmp_path / "store", "A", "plain")
    model, out = make_model(tmp_path / "model"), tmp_path / "out"
    asked = [str(store.root), str(model), str(out), "--target", "lesion", "--dataset", "A", *TINY]
    tyro.cli(fig2c_segmentation.main, args=asked)
    rows = read_rows(out / "seed0" / "test.jsonl")
    names = store.record.modalities
    left_out = ("synthesized", "dropped", "mixed, synthesized")
    wanted = {("real", ""), ("mixed, real", "")} | {(variant, name) for variant in left_out for name in names}
    assert {(r.variant, r.left_out) for r in rows} == wanted
    assert {r.dataset for r in rows} == {"A"}
    table, figure = (out / "test" / "segmentation.md").read_bytes(), (out / "test" / "segmentation.png").read_bytes()
    assert all(f"| {name} | lesion | 2 |".encode() in table for name in names)
    again = fig2c_segmentation.averaged([rows, [r.model_copy(update={"dice": 1.0, "hd95_mm": None}) for r in rows]])
    assert [r.dice for r in again] == pytest.approx([(r.dice + 1) / 2 for r in rows])
    assert [r.hd95_mm for r in again] == [r.hd95_mm for r in rows]
    tyro.cli(fig2c_segmentation.main, args=[*asked, "--split", "train"])
    assert {r.split for r in read_rows(out / "seed0" / "train.jsonl")} == {"train"}
    assert "| lesion | 2 |" in (out / "train" / "segmentation.md").read_text()
    page = tmp_path / "docs" / "segmentation_glioma.md"
    asked += ["--page", str(page)]
    monkeypatch.setattr(TrainingSlices, "batch", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("pmmsynth.segment.score.segment", lambda *_: pytest.fail("segmented again"))
    tyro.cli(fig2c_segmentation.main, args=asked)
    assert ((out / "test" / "segmentation.md").read_bytes(), (out / "test" / "segmentation.png").read_bytes()) == (
        table,
        figure,
    )
    assert (page.parent / "figures" / "segmentation_glioma.png").read_bytes() == figure
    assert table.decode() in page.read_text()
    assert page.read_text().startswith((SCRIPTS / page.name).read_text().strip())
    look = tmp_path / "look.png"
    stroke_look.main(make_segment_store(tmp_path / "A", "A").root, out / "seed0" / "full", model, look)
    picture = np.asarray(Image.open(look).convert("RGB")).astype(int)
    rows, columns = 5, 8  # all cases of A; four real sequences, four synthesized
    height, width = picture.shape[0] / rows, picture.shape[1] / columns
    y, x = np.nonzero(np.abs(picture - ImageColor.getrgb(stroke_look.TRUTH)).max(2) < 40)
    assert set(zip((y // height).tolist(), (x // width).tolist(), strict=True)) == set(
        itertools.product(range(rows), range(columns))
    ), "the lesion is outlined on every image"
