"""The experiment on what knowing the dataset gains: the style it adds, the fits it compares, the table it writes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from phantoms import make_store
from pmmsynth.evaluate import read_scores
from pmmsynth.train import tiny
from score_rows import score_row

pytestmark = pytest.mark.usefixtures("scripts")


def test_a_style_bends_flair_and_nothing_else(tmp_path: Path) -> None:
    import heterogeneity

    data = np.linspace(0, 200, 4**3, dtype=np.float32).reshape(4, 4, 4)
    for name in ("A", "B"):
        for modality in ("T1", "FLAIR"):
            path = tmp_path / "raw" / name / f"{name}1" / f"{modality}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])).to_filename(path)
    table = '[[dataset]]\nname = "{0}"\nroot = "{0}"\nlayout = "pattern"\nimage = "{{case}}/{{modality}}.nii.gz"\n'
    (tmp_path / "raw" / "cohorts.toml").write_text("".join(table.format(name) for name in ("A", "B")))
    heterogeneity.restyle(tmp_path / "raw", tmp_path / "bent", {"A": 2.0})

    def read(place: str) -> np.ndarray:
        return np.asarray(nib.Nifti1Image.from_filename(tmp_path / place).dataobj)

    assert read("bent/A/A1/FLAIR.nii.gz") == pytest.approx(data**2 / 200, rel=1e-5)
    for untouched in ("A/A1/T1.nii.gz", "B/B1/T1.nii.gz", "B/B1/FLAIR.nii.gz", "../raw/A/A1/FLAIR.nii.gz"):
        assert np.array_equal(read(f"bent/{untouched}"), data)


def test_gains_are_differences_of_means() -> None:
    import heterogeneity

    means = {"own fit": 30.0, "pooled fit": 29.5, "w/o PFM": 31.0, "PMM-Synth": 31.25, "another dataset": 30.0}
    rows = [
        score_row(m, c, v + c, task) for m, v in means.items() for c in range(2) for task in ("T1->FLAIR", "T1->T2")
    ]
    table = heterogeneity.gains(
        [r.model_copy(update={"psnr": r.psnr + (r.task == "T1->T2" and r.method == "own fit")}) for r in rows]
    )
    assert [line.split("|")[2:4] for line in table.splitlines()[2:]] == [
        [" +0.50 ", " +1.50 "],
        [" +0.25 ", " +0.25 "],
        [" +1.25 ", " +1.25 "],
    ]


def test_real_patients_are_scored_by_what_learned_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import heterogeneity_real

    monkeypatch.setattr(heterogeneity_real, "small", tiny)
    table = [*[("train", ["T1", "T2", "T1C", "FLAIR"])] * 2, ("val", ["T1", "FLAIR"]), ("test", ["T1", "FLAIR"])]
    store = make_store(tmp_path / "store", {"A": table, "B": table}, slices=4)
    monkeypatch.setattr(heterogeneity_real, "__file__", str(tmp_path / "page.py"))
    (tmp_path / "page.md").write_text("By hand.\n")
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    heterogeneity_real.main(store.root, tmp_path / "out", page, folds=2, epochs=1)
    written = page.read_text()
    assert written.startswith("By hand.\n\n## Results\n\n4 patients in 2 folds, each network")
    assert [line for line in written.splitlines() if line.startswith("| T2->FLAIR | 4 |")]
    files = [tmp_path / "out" / f"fold{number}" / "scores.jsonl" for number in range(2)]
    for number, path in enumerate(files):
        rows = read_scores(path)
        assert {(r.dataset, r.case) for r in rows} == {("A", f"case0{number}"), ("B", f"case0{number}")}
        assert {r.method for r in rows} == {"own fit", "pooled fit", "w/o PFM", "PMM-Synth", "another dataset"}
    before = [path.read_bytes() for path in files]
    heterogeneity_real.main(store.root, tmp_path / "out", page, folds=2, epochs=1)
    assert [path.read_bytes() for path in files] == before
    assert page.read_text() == written
