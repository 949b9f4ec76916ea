"""Fig. 2c over every training patient: who is scored, by what, and that nothing is done twice."""

from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pmmsynth.learned import knows
from pmmsynth.model import read_card
from pmmsynth.segment.score import read_rows
from pmmsynth.segment.slices import TrainingSlices
from pmmsynth.store import Store
from pmmsynth.train import tiny
from segment_phantoms import MATRIX, NAMES, SLICES, images, tumour

PROJECT = Path(__file__).parents[2]
TRAINED = {f"P{number}" for number in range(1, 7)}
COHORT = """
[[dataset]]
name = "A"
root = "raw"
layout = "pattern"
image = "{case}/{modality}.nii.gz"
lesion = "{case}/seg.nii.gz"
lesion_labels = { 1 = "necrotic core", 2 = "oedema", 3 = "enhancing" }
split = { val = ["P8"], test = ["P7"] }
"""


def make_patient(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:MATRIX, :MATRIX] - 23.5
    brain = np.broadcast_to(rows**2 + columns**2 < 18**2, (SLICES, MATRIX, MATRIX))
    tissue = tumour(number) * brain
    affine = np.diag([-3.0, -3, 4, 1])
    for name, image in zip(NAMES, images(tissue, brain), strict=True):
        nib.Nifti1Image((1000 * image).T, affine).to_filename(folder / f"{name}.nii.gz")
    nib.Nifti1Image(tissue.T, affine).to_filename(folder / "seg.nii.gz")


@pytest.mark.slow
@pytest.mark.usefixtures("scripts")
def test_every_training_patient_is_held_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import comparison
    import fig2c_crossvalidated

    monkeypatch.setattr(comparison, "small", tiny)
    monkeypatch.setattr(fig2c_crossvalidated, "__file__", str(tmp_path / "script.py"))
    (tmp_path / "page.md").write_text("By hand.\n")
    for number in range(1, 9):
        make_patient(tmp_path / "raw" / f"P{number}", number)
    (tmp_path / "cohorts.toml").write_text(COHORT)
    out, kept, page = tmp_path / "out", tmp_path / "kept", tmp_path / "docs" / "page.md"
    way = fig2c_crossvalidated.Way(folds=2, epochs=1, steps=2, mixed_steps=3, width=2, matrix=48)
    asked = {"way": way, "jobs": 1, "page": page}
    fig2c_crossvalidated.main(tmp_path / "cohorts.toml", out, kept, **asked)

    seen = Counter[str]()
    for number in range(2):
        folder = out / f"fold{number}"
        rows, store = read_rows(folder / "seed0" / "test.jsonl"), Store(folder / "store")
        tested = {case.record.case for case in store.cases("test")}
        assert {row.case for row in rows} == tested
        assert {row.left_out for row in rows if row.variant == "mixed, synthesized"} == {*NAMES}
        seen.update(tested)
        assert [case.record.case for case in store.cases("val")] == ["P8"]
        assert {case.record.case for case in store.cases("train")} == TRAINED - tested | {"P7"}
        runs = [folder / "generator" / "seed0" / "runs" / "PMM-Synth" / "all"]
        runs += [folder / f"without{part}" for part in range(3)]
        for run in runs:
            learned = read_card(run / "model").learned
            assert not any(knows(learned, case.record, ["train", "val"]) for case in store.cases("test"))
        taught = (folder / "seed0" / "mixed" / "synthesized" / "A").glob("*.npy")
        assert {path.stem for path in taught} == TRAINED - tested | {"P7"}
    assert seen == Counter(TRAINED)

    figure = page.parent / "figures" / "page.png"
    written = {path: path.read_bytes() for path in (page, figure, *sorted(kept.iterdir()))}
    assert [path.name for path in written][2:] == ["fold0.csv", "fold0.json", "fold1.csv", "fold1.json"]
    text = page.read_text()
    assert text.startswith("By hand.\n\n## Results\n\n6 patients of 2 of 2 folds (0, 1); slices of 48 x 48 pixels")
    assert "2 steps of each network, 3 of the mixed one" in text
    assert "| T1C | enhancing tumour | 6 |" in text
    _, _, rows = fig2c_crossvalidated.read_kept(kept)
    scored = [row for number in range(2) for row in read_rows(out / f"fold{number}" / "seed0" / "test.jsonl")]
    by_place = {(*row.place, row.region): row for row in scored}
    assert len(rows) == len(by_place) == 6 * 3 * (2 + 3 * 4)
    for row in rows:
        true = by_place[(*row.place, row.region)]
        assert (row.dice, row.volume_ml) == pytest.approx((true.dice, true.volume_ml), abs=1e-6)
        assert (row.hd95_mm is None) == (true.hd95_mm is None)
    monkeypatch.setattr(TrainingSlices, "batch", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("pmmsynth.segment.score.segment", lambda *_: pytest.fail("segmented again"))
    fig2c_crossvalidated.main(tmp_path / "cohorts.toml", out, kept, **asked)
    assert {path: path.read_bytes() for path in written} == written
    (kept / "fold1.json").write_text((kept / "fold1.json").read_text().replace('"steps": 2', '"steps": 9'))
    with pytest.raises(SystemExit, match=r"2 folds in .*, done in 2 ways"):
        fig2c_crossvalidated.write_page(kept, page)


@pytest.mark.usefixtures("scripts")
def test_the_page_follows_from_what_is_kept(tmp_path: Path) -> None:
    import fig2c_crossvalidated

    page = tmp_path / "segmentation_crossvalidated.md"
    fig2c_crossvalidated.write_page(PROJECT / "results" / page.stem, page)
    assert page.read_bytes() == (PROJECT / "docs" / page.name).read_bytes()
