"""From a cohort file to a store: resumable, bad cases named in one line, the others done."""

import gzip
import json
import os
import shutil

import numpy as np
import pytest
from prepare_phantoms import SMALL, SMALL_AFFINE, beside, cohort, phantom, save, save_case

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.jobs import Outcome
from pmmsynth.manifest import Manifest
from pmmsynth.prepare import pipeline, prepare, prepare_volumes
from pmmsynth.store import PreparedCase, Store
from pmmsynth.volume import read_volume

GLIOMA = 'name = "glioma"\nroot = "glioma"\nlayout = "brats"'
QUIET = Reporter(quiet=True)


def run(path, matrix=48, inplane_mm=3, **options) -> Outcome[PreparedCase]:
    return prepare(path, path.parent / "store", matrix=matrix, inplane_mm=inplane_mm, reporter=QUIET, **options)


def state(store):
    return {p.relative_to(store): p.stat().st_mtime_ns for p in store.glob("glioma/*/*")}


@pytest.fixture
def three(tmp_path):
    for number in range(3):
        save_case(tmp_path / "glioma" / f"case{number}", phase=number / 3)
    return cohort(tmp_path, GLIOMA)


def test_store_holds_what_prepare_volumes_gives(three, tmp_path):
    outcome = run(three)
    assert (outcome.exit_code, len(outcome.results)) == (0, 3)
    store = Store(tmp_path / "store")
    assert (store.record.modalities, store.record.matrix, store.record.inplane_mm) == (("T1", "T2", "FLAIR"), 48, 3)
    assert [d.id for d in store.record.datasets] == [0]
    case = next(c for c in store.cases() if c.record.case == "case1")
    files = {n: read_volume(tmp_path / "glioma/case1" / f"{n.lower()}.nii.gz") for n in ("T1", "T2", "FLAIR")}
    seg = read_volume(tmp_path / "glioma/case1/seg.nii.gz")
    direct = prepare_volumes(files, matrix=48, inplane_mm=3, lesion=seg)
    np.testing.assert_array_equal(case.images(), direct.images.astype(np.float16))
    np.testing.assert_array_equal(case.brain(), direct.brain)
    np.testing.assert_array_equal(case.lesion(), direct.lesion)
    assert case.lesion().sum() == 4 * 5 * 2
    np.testing.assert_allclose(case.record.brain_fraction, direct.brain.mean(axis=(1, 2)))
    assert case.record.prepared.grid().same_as(direct.prepared)
    assert set(case.record.inputs) == {"T1", "T2", "FLAIR", "lesion"}
    assert Manifest.read(tmp_path / "store/manifest.jsonl").coverage() == {"glioma": {"T1": 3, "T2": 3, "FLAIR": 3}}
    assert (tmp_path / "store/sheets/glioma.png").read_bytes().startswith(b"\x89PNG")
    assert {c.record.split for c in outcome.results} == {"train", "val", "test"}


def test_second_run_rewrites_nothing(three, tmp_path, capsys):
    run(three)
    before = state(tmp_path / "store")
    sheet = (tmp_path / "store/sheets/glioma.png").stat().st_mtime_ns
    outcome = prepare(three, tmp_path / "store", matrix=48, inplane_mm=3, reporter=Reporter())
    assert (outcome.exit_code, len(outcome.results)) == (0, 3)
    assert state(tmp_path / "store") == before
    assert (tmp_path / "store/sheets/glioma.png").stat().st_mtime_ns == sheet
    assert "all 3 cases up to date" in capsys.readouterr().out


def redone(store, before):
    return {p.parent.name for p, at in state(store).items() if before.get(p) != at}


def test_only_the_changed_case_is_done_again(three, tmp_path):
    run(three)
    before = state(tmp_path / "store")
    save(tmp_path / "glioma/case1/t2.nii.gz", phantom(SMALL, SMALL_AFFINE, phase=5).data)
    os.utime(tmp_path / "glioma/case2/t2.nii.gz")  # touched, not changed
    run(three)
    assert redone(tmp_path / "store", before) == {"case1"}
    (tmp_path / "store/glioma/case0/images.npy").unlink()
    run(three)
    assert (tmp_path / "store/glioma/case0/images.npy").is_file()


def test_a_store_of_other_pixels_is_left_alone(three, tmp_path):
    run(three)
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    for other in ({"matrix": 44}, {"inplane_mm": 2.0}):
        with pytest.raises(UsageError, match=r"cases have --matrix 48 --inplane-mm 3; expected the same"):
            run(three, **other)
    with pytest.raises(UsageError, match="--jobs 0"):
        run(three, matrix=44, overwrite=True, jobs=0)
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


def test_other_settings_and_overwrite_do_all_again(three, tmp_path):
    run(three)
    before = state(tmp_path / "store")
    assert {c.images().shape[-1] for c in run(three, matrix=44, overwrite=True).results} == {44}
    assert redone(tmp_path / "store", before) == {"case0", "case1", "case2"}
    before = state(tmp_path / "store")
    cohort(tmp_path, GLIOMA + "\nslice_mm = 5.0")
    run(three, matrix=44)
    assert redone(tmp_path / "store", before) == {"case0", "case1", "case2"}


def test_a_new_split_changes_the_record_not_the_voxels(three, tmp_path):
    run(three)
    arrays = {p: t for p, t in state(tmp_path / "store").items() if p.suffix == ".npy"}
    cohort(tmp_path, GLIOMA + '\nsplit = {test = ["*"], train = []}')
    run(three)
    assert {c.record.split for c in Store(tmp_path / "store").cases()} == {"test"}
    assert {p: t for p, t in state(tmp_path / "store").items() if p.suffix == ".npy"} == arrays


def test_leftovers_and_departed_cases_go(three, tmp_path):
    run(three)
    leftover = tmp_path / "store/glioma/.writing-x1"
    leftover.mkdir()
    (leftover / "images.npy").write_bytes(b"half")
    cohort(tmp_path, GLIOMA + '\ninclude = ["case[01]"]')
    run(three)
    assert sorted(p.name for p in (tmp_path / "store/glioma").iterdir()) == ["case0", "case1"]


def test_pictures_show_only_who_is_there(three, tmp_path):
    """Patients taken out, datasets renamed: nothing of them stays but what the cohort file says."""
    run(three)
    sheet = tmp_path / "store/sheets/glioma.png"
    full = sheet.read_bytes()
    cohort(tmp_path, GLIOMA + '\ninclude = ["case[01]"]')
    run(three)
    assert sheet.is_file()
    assert sheet.read_bytes() != full
    cohort(tmp_path, GLIOMA.replace('name = "glioma"', 'name = "tumour"'))
    (tmp_path / "store/converted/glioma").mkdir(parents=True)
    run(three)
    left = {p.relative_to(tmp_path / "store").as_posix() for p in (tmp_path / "store").rglob("*")}
    assert not [name for name in left if "glioma" in name]
    assert "sheets/tumour.png" in left


def test_a_case_that_went_bad_leaves_the_store(three, tmp_path):
    run(three)
    sheet = (tmp_path / "store/sheets/glioma.png").read_bytes()
    (tmp_path / "glioma/case0/t1.nii.gz").write_bytes(b"gone")
    outcome = run(three)
    assert outcome.exit_code == 5
    assert (tmp_path / "store/sheets/glioma.png").read_bytes() != sheet
    assert not (tmp_path / "store/glioma/case0").exists()
    assert len(list(Store(tmp_path / "store").cases())) == 2


def test_a_case_is_kept_when_the_machine_fails_not_its_files(three, tmp_path, monkeypatch):
    """As on a share that drops out or a full disk: what is in the store is still right."""
    run(three)
    before = state(tmp_path / "store")

    def fail(images, masks):
        if "case0" in str(images["T1"]):
            raise OSError(5, "Input/output error", str(images["T1"]))
        return honest(images, masks)

    honest = pipeline.digests_of
    monkeypatch.setattr(pipeline, "digests_of", fail)
    assert run(three).exit_code == 5
    assert state(tmp_path / "store") == before
    monkeypatch.undo()
    assert run(three).exit_code == 0


def test_a_case_is_kept_when_its_files_go_away_in_the_middle_of_a_run(three, tmp_path, monkeypatch):
    run(three)
    before, path = state(tmp_path / "store"), tmp_path / "glioma/case0/t1.nii.gz"
    content, honest = path.read_bytes(), pipeline.digests_of

    def drop(images, masks):
        path.unlink(missing_ok=True)
        return honest(images, masks)

    monkeypatch.setattr(pipeline, "digests_of", drop)
    assert run(three).exit_code == 5
    assert state(tmp_path / "store") == before
    monkeypatch.undo()
    path.write_bytes(content)
    assert run(three).exit_code == 0


def test_leftovers_and_copies_beside_the_cases_do_not_count_twice(three, tmp_path):
    run(three)
    case = tmp_path / "store/glioma/case0"
    shutil.copytree(case, case.with_name(".writing-case0"))
    assert [c.record.case for c in Store(tmp_path / "store").cases()] == ["case0", "case1", "case2"]
    shutil.copytree(case, case.with_name("case0_old"))
    with pytest.raises(BadInput, match="of case0_old: a folder per case"):
        list(Store(tmp_path / "store").cases())


def test_one_image_under_two_names_is_refused(three, tmp_path):
    shutil.copy(tmp_path / "glioma/case1/t1.nii.gz", tmp_path / "glioma/case1/t2.nii.gz")
    outcome = run(three)
    assert [failure.name for failure in outcome.failures] == ["glioma/case1"]
    assert "T1 and T2 are one image; expected an image of each" in outcome.failures[0].reason


def test_one_image_in_two_cases_is_said(three, tmp_path, capsys):
    shutil.copy(tmp_path / "glioma/case0/t2.nii.gz", tmp_path / "glioma/case2/t2.nii.gz")
    assert prepare(three, tmp_path / "store", matrix=48, inplane_mm=3, reporter=Reporter()).exit_code == 0
    err = capsys.readouterr().err
    assert "glioma/case0 and glioma/case2 share the image of T2: one patient twice? exclude one" in err
    assert err.count("share the image") == 1


def test_a_folder_that_cannot_be_read_leaves_the_store_as_it_is(three, tmp_path, closed):
    run(three)
    before = state(tmp_path / "store"), (tmp_path / "store/manifest.jsonl").read_bytes()
    closed(tmp_path / "glioma/case0")
    with pytest.raises(BadInput, match=r"found the folder .*/glioma/case0: Permission denied; expected one that can"):
        run(three)
    assert (state(tmp_path / "store"), (tmp_path / "store/manifest.jsonl").read_bytes()) == before


def test_a_foreign_folder_is_not_touched(three, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="other things"):
        run(three)


def test_a_folder_of_hidden_files_is_a_new_one(three, tmp_path):
    (tmp_path / "store").mkdir()
    for name in (".DS_Store", ".writing-0123456789abcdef.json"):
        (tmp_path / "store" / name).write_text("x")
    run(three)
    assert (tmp_path / "store/store.json").is_file()


def test_withheld_modalities_stay_in_test_only(three, tmp_path):
    cohort(tmp_path, GLIOMA + '\nwithhold = ["FLAIR"]\nsplit = {val = ["case1"], test = ["case2"]}')
    got = {c.record.split: c.record.modalities for c in run(three).results}
    assert got == {"train": ("T1", "T2"), "val": ("T1", "T2"), "test": ("T1", "T2", "FLAIR")}
    assert Store(tmp_path / "store").record.datasets[0].modalities == ("T1", "T2")


@pytest.mark.slow
def test_two_processes_do_the_same(three, tmp_path):
    digests = [c.record.arrays for c in run(three).results]
    assert [c.record.arrays for c in run(three, jobs=2, overwrite=True).results] == digests


BRAIN = phantom(SMALL, SMALL_AFFINE).data
SHEARED = SMALL_AFFINE.copy()
SHEARED[0, 1] = 1.2
DEGENERATE = SMALL_AFFINE.copy()
DEGENERATE[:3, 2] = 0
FAR = SMALL_AFFINE.copy()
FAR[1, 3] += 400
NAN = BRAIN.copy()
NAN[20, 20, 6] = np.nan


def truncated(path):
    save(path, BRAIN)
    path.write_bytes(path.read_bytes()[:3000])


BAD = {
    "not-nifti": (lambda p: p.write_bytes(b"hello"), "not readable"),
    "gzip-of-text": (lambda p: p.write_bytes(gzip.compress(b"hello " * 200)), "not readable"),
    "truncated": (truncated, "not readable"),
    "nan": (lambda p: save(p, NAN), "1 NaN"),
    "constant": (lambda p: save(p, np.full(SMALL, 3.0)), "every voxel is 3"),
    "four-d": (lambda p: save(p, np.stack([BRAIN] * 2, -1)), "4-D, shape"),
    "sheared": (lambda p: save(p, BRAIN, SHEARED), "sheared affine"),
    "degenerate": (lambda p: save(p, BRAIN, DEGENERATE), "voxel size"),
    "two-patients": (
        lambda p: save(p, phantom(SMALL, SMALL_AFFINE, centre=beside(0, 50, 0)).data),
        "do not look like one patient",
    ),
    "no-overlap": (lambda p: save(p, BRAIN, FAR), "no overlap"),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """One run over a good case and one of each bad kind."""
    root = tmp_path_factory.mktemp("bad")
    save_case(root / "glioma" / "good")
    for kind, (spoil, _) in BAD.items():
        save_case(root / "glioma" / kind)
        spoil(root / "glioma" / kind / "t2.nii.gz")
    return root, run(cohort(root, GLIOMA))


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_clear_line(bad, kind):
    _, outcome = bad
    failure = next(f for f in outcome.failures if f.name == f"glioma/{kind}")
    assert BAD[kind][1] in failure.reason
    assert "expected" in failure.reason
    assert "\n" not in failure.reason
    assert not failure.is_ours
    assert "t2.nii.gz" in failure.reason


def test_the_good_case_is_done_all_the_same(bad):
    root, outcome = bad
    assert outcome.exit_code == 5
    assert [c.record.case for c in outcome.results] == ["good"]
    assert sorted(p.name for p in (root / "store/glioma").iterdir()) == ["good"]
    json.loads((root / "store/glioma/good/case.json").read_text())


def test_an_adc_without_unit_names_its_file(tmp_path):
    save_case(tmp_path / "glioma" / "a", modalities=("t1",))
    save(tmp_path / "glioma/a/adc.nii.gz", (BRAIN * 1.01).astype(BRAIN.dtype))
    table = 'name = "d"\nroot = "glioma"\nlayout = "pattern"\nimage = "{case}/{modality}.nii.gz"\nignore = ["seg"]'
    outcome = run(cohort(tmp_path, table))
    assert outcome.exit_code == 4
    assert "ADC map with median" in outcome.failures[0].reason


@pytest.mark.parametrize("matrix", [3, 28, 34, 4100])  # PatchGAN and MM-Synth leave nothing of 28
def test_matrix_that_makes_no_sense(three, matrix):
    with pytest.raises(UsageError, match=f"matrix {matrix}, .* from 32 to 4096"):
        run(three, matrix=matrix)
    assert not (three.parent / "store").exists()


def test_no_cohort_file(tmp_path):
    with pytest.raises(BadInput, match="no cohort file"):
        run(tmp_path / "cohorts.toml")
