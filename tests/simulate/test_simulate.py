"""The written datasets: names, geometry, units, contrast, determinism, resuming and refusals."""

import json
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pmmsynth import atomic
from pmmsynth.atomic import sha256
from pmmsynth.console import Reporter
from pmmsynth.errors import NothingToDo, UsageError
from pmmsynth.simulate import simulate
from pmmsynth.simulate.anatomy import Sampled
from pmmsynth.simulate.contrast import measure_adc
from pmmsynth.simulate.layout import write_cohorts
from pmmsynth.simulate.pipeline import make_case
from pmmsynth.simulate.sites import SITES
from pmmsynth.simulate.tissue import TABLE, TISSUES
from pmmsynth.volume import read_volume

QUIET = Reporter(quiet=True)
B, I = "BraTS/BraTS-SIM-00001-000/BraTS-SIM-00001-000", "sub-strokecase0001"  # noqa: E741
FILES = {
    "TTG": {f"TTG/P0001/P0001_{m}.nii.gz" for m in ("T1", "T2", "T1CE", "T2FLAIR", "DWI", "ADC", "lesion")},
    "BraTS": {f"{B}-{m}.nii.gz" for m in ("t1n", "t1c", "t2w", "t2f", "seg")},
    "ISLES": {
        f"ISLES/{I}/ses-0001/anat/{I}_ses-0001_FLAIR.nii.gz",
        f"ISLES/{I}/ses-0001/dwi/{I}_ses-0001_dwi.nii.gz",
        f"ISLES/{I}/ses-0001/dwi/{I}_ses-0001_adc.nii.gz",
        f"ISLES/derivatives/{I}/ses-0001/{I}_ses-0001_msk.nii.gz",
    },
}
BIDS = {
    "TTI/sub-001/anat/sub-001_T1w.nii.gz",
    "TTI/sub-001/anat/sub-001_T2w.nii.gz",
    "TTI/sub-001/anat/sub-001_FLAIR.nii.gz",
    "TTI/sub-001/dwi/sub-001_ADC.nii.gz",
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    outcome = simulate(folder, cases=1, seed=4, jobs=1, overwrite=False, reporter=QUIET)
    assert outcome.exit_code == 0
    assert len(outcome.results) == 4
    return folder


def values(path: Path) -> np.ndarray:
    return read_volume(path).data


def names(folder: Path, dataset: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in (folder / dataset).rglob("*.nii.gz")}


def test_four_layouts_spell_their_files(out: Path) -> None:
    for dataset, files in FILES.items():
        assert names(out, dataset) == files
    mask = "TTI/derivatives/lesions/sub-001/anat/sub-001_label-lesion_mask.nii.gz"
    found = names(out, "TTI")
    assert mask in found
    assert found - {mask} <= BIDS
    assert len(found) >= 3
    assert json.loads((out / "TTI/dataset_description.json").read_text())["DatasetType"] == "raw"
    assert all((out / f"{name}.png").stat().st_size > 10_000 for name in SITES)
    assert not list(out.rglob(".writing-*"))


def test_cohort_file_lists_the_datasets(out: Path) -> None:
    tables = tomllib.loads((out / "cohorts.toml").read_text())["dataset"]
    assert {t["name"]: t["layout"] for t in tables} == {
        "TTG": "pattern",
        "TTI": "bids",
        "BraTS": "brats",
        "ISLES": "isles",
    }
    assert all(t["skull_stripped"] and t["registered"] and (out / t["root"]).is_dir() for t in tables)
    assert json.loads((out / "simulation.json").read_text())["seed"] == 4


def test_geometry(out: Path) -> None:
    t1, seg = nib.load(out / f"{B}-t1n.nii.gz"), nib.load(out / f"{B}-seg.nii.gz")
    assert t1.shape == (240, 240, 155)
    np.testing.assert_array_equal(t1.affine, [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(seg.affine, t1.affine)
    assert (t1.header["sform_code"], t1.header["qform_code"]) == (1, 1)
    oblique = nib.load(out / "TTG/P0001/P0001_T1.nii.gz")
    assert oblique.shape[2] == 24
    assert np.abs(nib.affines.obliquity(oblique.affine)).max() > np.radians(1)
    np.testing.assert_allclose(oblique.get_qform(), oblique.get_sform(), atol=1e-4)
    isles = out / f"ISLES/{I}/ses-0001"
    dwi = read_volume(isles / f"dwi/{I}_ses-0001_dwi.nii.gz")
    flair = read_volume(isles / f"anat/{I}_ses-0001_FLAIR.nii.gz")
    assert 25 <= dwi.data.shape[2] <= 73
    assert not dwi.grid.same_as(flair.grid)
    middle = [v.affine[:3] @ [*np.argwhere(v.data > 0).mean(axis=0), 1] for v in (dwi, flair)]
    np.testing.assert_allclose(*middle, atol=4)  # one brain in one world


def test_background_is_exactly_zero_and_the_same_in_all_images_of_a_grid(out: Path) -> None:
    brain = values(out / f"{B}-t1n.nii.gz") > 0
    assert 0.1 < brain.mean() < 0.3
    for suffix in ("t1c", "t2w", "t2f"):
        assert values(out / f"{B}-{suffix}.nii.gz")[~brain].max() <= 3  # noise can round a brain voxel of t1n to 0
    assert not brain[0].any()
    assert not brain[:, :, -1].any() or brain[:, :, -1].mean() < 0.1


def test_lesions_look_as_they_should(out: Path) -> None:
    t1, t1c, flair, seg = (values(out / f"{B}-{s}.nii.gz") for s in ("t1n", "t1c", "t2f", "seg"))
    assert set(np.unique(seg)) == {0, 1, 2, 3}
    healthy = (t1 > 0) & (seg == 0)
    relative = [image[seg == 3].mean() / image[healthy].mean() for image in (t1, t1c)]
    assert relative[1] > 1.3 * relative[0]
    assert flair[seg == 2].mean() > 1.2 * flair[healthy].mean()
    isles = out / f"ISLES/{I}/ses-0001/dwi"
    dwi, adc = (values(isles / f"{I}_ses-0001_{s}.nii.gz") for s in ("dwi", "adc"))
    stroke = values(out / f"ISLES/derivatives/{I}/ses-0001/{I}_ses-0001_msk.nii.gz") > 0
    healthy = (dwi > 0) & ~stroke
    assert dwi[stroke].mean() > 1.3 * dwi[healthy].mean()
    assert adc[stroke].mean() < 0.75 * np.median(adc[healthy])


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("TTG/P0001/P0001_ADC.nii.gz", 1e-6),
        ("TTI/sub-001/dwi/sub-001_ADC.nii.gz", 1.0),
        (f"ISLES/{I}/ses-0001/dwi/{I}_ses-0001_adc.nii.gz", 1e-3),
    ],
)
def test_adc_is_physical_in_the_unit_of_its_site(out: Path, path: str, unit: float) -> None:
    adc = values(out / path)
    assert np.median(adc[adc > 0]) * unit == pytest.approx(0.8e-3, rel=0.15)  # brain: between white and grey matter
    assert adc.max() * unit < 4.1e-3


def test_adc_of_white_matter_survives_the_measurement() -> None:
    n = 5000
    fractions = np.zeros((len(TISSUES), n), np.float32)
    fractions[TISSUES.index("wm")] = 1
    still = Sampled(np.ones((n, 1, 1), bool), fractions, np.zeros((2, n), np.float32), np.zeros((3, n), np.float32))
    site = SITES["TTG"]
    adc = measure_adc(still, site.sequences["ADC"], TABLE[3.0], snr=30, rng=np.random.default_rng(0))
    assert adc.mean() == pytest.approx(0.72e-3, rel=0.01)


def test_tti_cases_differ_in_their_modalities() -> None:
    found = {SITES["TTI"].available(np.random.default_rng(k)) for k in range(40)}
    assert len(found) > 5
    assert min(map(len, found)) >= 2


def test_a_case_depends_on_seed_dataset_and_number_only(out: Path, tmp_path: Path) -> None:
    simulate(tmp_path, cases={"ISLES": 1}, seed=4, jobs=1, overwrite=False, reporter=QUIET)
    for name in FILES["ISLES"]:
        assert sha256(tmp_path / name) == sha256(out / name)
    other = make_case(SITES["ISLES"], 6, 1).images["DWI"][0]
    same = values(out / f"ISLES/{I}/ses-0001/dwi/{I}_ses-0001_dwi.nii.gz")
    assert other.shape != same.shape or not np.array_equal(other, same)


def test_complete_cases_are_kept_and_other_seeds_refused(out: Path) -> None:
    with pytest.raises(NothingToDo):
        simulate(out, cases=1, seed=4, jobs=1, overwrite=False, reporter=QUIET)
    with pytest.raises(UsageError, match="seed 4"):
        simulate(out, cases=2, seed=6, jobs=1, overwrite=True, reporter=QUIET)


def test_what_a_killed_run_left_out_is_written_by_the_next(tmp_path: Path) -> None:
    asked = {"cases": {"ISLES": 1}, "seed": 4, "reporter": QUIET}
    simulate(tmp_path, **asked)
    scan = next(tmp_path.rglob("*_dwi.nii.gz"))
    before, cohorts = scan.stat().st_mtime_ns, (tmp_path / "cohorts.toml").read_bytes()
    for lost in ("cohorts.toml", "ISLES.png"):
        (tmp_path / lost).unlink()
        assert simulate(tmp_path, **asked).results == ()
        assert (tmp_path / lost).is_file()
    assert ((tmp_path / "cohorts.toml").read_bytes(), scan.stat().st_mtime_ns) == (cohorts, before)
    with pytest.raises(NothingToDo):
        simulate(tmp_path, **asked)


def test_what_a_killed_run_had_begun_goes(tmp_path: Path) -> None:
    simulate(tmp_path, cases={"ISLES": 1}, seed=4, reporter=QUIET)
    begun = tmp_path / "ISLES" / ".writing-0123456789abcdef0123456789abcdef"
    begun.mkdir()
    (begun / "dwi.nii.gz").write_bytes(b"half")
    (tmp_path / "ISLES.png").unlink()
    simulate(tmp_path, cases={"ISLES": 1}, seed=4, reporter=QUIET)
    assert not begun.exists()


@pytest.mark.parametrize("cases", [0, {}, {"ADNI": 1}])
def test_wrong_requests_are_refused(tmp_path: Path, cases: int | dict[str, int]) -> None:
    with pytest.raises(UsageError):
        simulate(tmp_path, cases=cases, seed=0, jobs=1, overwrite=False, reporter=QUIET)
    assert not list(tmp_path.iterdir())


def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "cohorts.toml"
    own.write_text("# two years of work\n")
    with pytest.raises(UsageError, match="found files but no simulation"):
        simulate(tmp_path, cases={"ISLES": 1}, seed=4, jobs=1, overwrite=True, reporter=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["cohorts.toml"]


def test_a_cohort_file_changed_by_hand_is_kept(tmp_path: Path) -> None:
    first, both = ["ISLES"], ["BraTS", "ISLES"]
    assert write_cohorts(tmp_path, first, overwrite=False)
    assert write_cohorts(tmp_path, both, overwrite=False), "nobody changed it"
    path = tmp_path / "cohorts.toml"
    assert [d["name"] for d in tomllib.loads(path.read_text())["dataset"]] == both
    path.write_text(path.read_text() + '\nexclude = ["BraTS-SIM-00002-000"]\n')
    changed = path.read_text()
    assert not write_cohorts(tmp_path, both, overwrite=False)
    assert path.read_text() == changed
    assert write_cohorts(tmp_path, both, overwrite=True)
    assert path.read_text() != changed


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "PATIENCE", 0.0)
    with atomic.only_writer(tmp_path), pytest.raises(UsageError, match="another process that writes"):
        simulate(tmp_path, cases={"ISLES": 1}, seed=4, jobs=1, overwrite=False, reporter=QUIET)
