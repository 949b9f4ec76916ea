"""One table of what is there, missing and wrong; exit codes; nothing written."""

import json
import re

import nibabel as nib
import numpy as np
import pytest

from dicom_phantoms import voxels, write_classic
from model_phantoms import CENTRE, affine_for, brain, save, save_case
from pmmsynth.cli import main
from pmmsynth.volume import read_volume, write_volume

ELSEWHERE = CENTRE + np.array([1, 2, 0])
FAR = affine_for()
FAR[0, 3] += 500


@pytest.fixture
def call(capsys):
    def run(*arguments):
        code = main(["check", *map(str, arguments)])
        got = capsys.readouterr()
        return code, got.out, got.err

    return run


def two_cases(folder):
    """Of two patients: the second one's head is a little elsewhere."""
    save_case(folder / "P1")
    save_case(folder / "P2", centre=ELSEWHERE)
    return folder


def test_a_good_folder(call, tmp_path):
    two_cases(tmp_path)
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    code, out, err = call(tmp_path)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["case", "sequence", "geometry", "told", "by", "file"]
    assert lines[2][:7] == ["P1", "T1", "40x46x10,", "1x1x4", "mm,", "RAS", "BraTS"]
    assert lines[4][:2] == ["P2", "T1"]
    assert out.splitlines()[-1] == "2 cases: 2 can be used (0 to be looked at), 0 cannot"
    assert before == sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))


WRONG = {
    "nan": (lambda p: save(p, np.where(brain("T2") > 0, np.nan, 0).astype(np.float32)), "NaN or infinite voxels"),
    "constant": (lambda p: save(p, np.full_like(brain("T2"), 3)), "every voxel is 3"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:1000]), "not readable"),
    "4-D": (lambda p: nib.save(nib.Nifti1Image(np.ones((9, 9, 9, 2)), np.eye(4)), p), "4-D"),
    "synthetic": (
        lambda p: write_volume(p, brain("T2"), read_volume(p), "SYNTHETIC T2, not acquired"),
        "a synthetic image",
    ),
    "far away": (
        lambda p: save(p, brain("T2", centre=ELSEWHERE), FAR),
        "no overlap",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_and_the_rest_is_fine(call, tmp_path, kind):
    make, expected = WRONG[kind]
    make(two_cases(tmp_path) / "P2/t2.nii.gz")
    code, out, _ = call(tmp_path)
    assert code == 5
    assert expected in out
    assert "2 cases: 1 can be used" in out
    code, out, _ = call(tmp_path / "P2", "--json")
    assert code == 4
    objects = [json.loads(line) for line in out.splitlines()]
    (case,) = [o for o in objects if "files" in o]
    assert case["is_bad"]
    assert expected in json.dumps(case)
    assert objects[-1]["bad"] == 1
    code, out, err = call(tmp_path, "--quiet")
    assert (code, out) == (5, "")
    assert re.fullmatch(rf"P2: found .*{expected}.*; expected .*; .*\n", err), "one line, and none of what is fine"


def test_quiet_leaves_what_is_wrong_and_no_remarks(call, tmp_path):
    two_cases(tmp_path)
    for name in ("t1", "t2"):
        save(tmp_path / f"P1/{name}.nii.gz", brain(name.upper()), codes=(0, 0))
    bad, wrong = tmp_path / "P2/t2.nii.gz", "every voxel is 3; expected an image; remove the empty file"
    save(bad, np.full_like(brain("T2"), 3))
    (tmp_path / "P2/what-is-this.nii.gz").write_bytes(bad.read_bytes())
    code, out, err = call(tmp_path)
    assert code == 5
    assert f"    WRONG: {wrong}\n" in out
    assert "look at: T1 does not say how it lies" in out
    assert "that no case takes" in err
    assert call(tmp_path, "--quiet") == (5, "", f"P2: found {bad}: {wrong}\n")


def test_one_image_under_two_names(call, tmp_path):
    two_cases(tmp_path)
    save(tmp_path / "P2/t2.nii.gz", brain("T1", centre=ELSEWHERE))
    code, out, _ = call(tmp_path)
    assert code == 5
    assert "WRONG: T1 and T2 are one image" in out


def test_one_patient_twice(call, tmp_path):
    two_cases(tmp_path / "a")
    save_case(tmp_path / "b/P9")
    code, out, _ = call(tmp_path / "a", tmp_path / "b")
    assert code == 5
    assert "WRONG: an image that P9 has too (one patient twice?); expected its own; exclude one" in out
    assert "3 cases: 1 can be used" in out


def test_one_patient_in_two_folders_under_one_name(call, tmp_path):
    for folder in "ab":
        save_case(tmp_path / folder / "P1")
    code, out, _ = call(tmp_path / "a", tmp_path / "b")
    assert code == 4
    for other in "ba":
        assert re.search(rf"WRONG: an image that \S*/{other}/P1/\S+ has too", out)


def test_what_a_folder_is_called_says_nothing_of_the_image(call, tmp_path):
    for folder in ("plain", "skull_stripped"):
        save_case(tmp_path / folder / "P1")
        for path in (tmp_path / folder / "P1").glob("*.nii.gz"):
            image = nib.load(path)
            values = image.get_fdata()
            inside = values > 0
            values[inside] = (values[inside] - np.median(values[inside])) / values[inside].std()
            save(path, values, image.affine)
        code, out, _ = call(tmp_path / folder)
        assert (code, "of the brain below 0" in out) == (4, True), folder


def test_missing_sequences_and_files_nobody_takes(call, tmp_path):
    two_cases(tmp_path)
    (tmp_path / "P2/t2.nii.gz").rename(tmp_path / "P2/what-is-this.nii.gz")
    code, out, err = call(tmp_path)
    assert (code, out.count("missing: T2")) == (0, 1)
    assert "found 1 volumes that no case takes, the first" in err


def test_a_cohort_file_and_what_its_scans_are(call, tmp_path):
    """A head with skull is one to look at, unless the cohort file knows."""
    rng = np.random.default_rng(0)
    for name in ("t1", "t2"):
        save(tmp_path / f"in/P1/{name}.nii.gz", rng.integers(1, 900, brain().shape).astype(np.int16))
    table = '[[dataset]]\nname = "A"\nroot = "in"\nlayout = "brats"\n'
    (tmp_path / "c.toml").write_text(table)
    code, out, _ = call(tmp_path / "c.toml")
    assert code == 0
    assert "A/P1" in out
    assert "look at: T1, T2 look like heads with skull" in out
    (tmp_path / "c.toml").write_text(table + "skull_stripped = false\n")
    assert "look at:" not in call(tmp_path / "c.toml")[1]
    (tmp_path / "c.toml").write_text(table + "layuot = 1\n")
    code, _, err = call(tmp_path / "c.toml")
    assert code == 4
    assert "did you mean layout?" in err


def test_dicom_is_told_by_its_headers(call, tmp_path):
    write_classic(tmp_path / "x", voxels(), "T1 SE", number=2)
    write_classic(tmp_path / "x", voxels(), "localizer", number=1)
    for path in write_classic(tmp_path / "y", voxels(), "T2", number=3, patient="P2", study="1.9")[4:6]:
        path.unlink()
    code, out, _ = call(tmp_path)
    assert code == 5
    assert "'localizer' is not one of the sequences used" in out
    assert "32x40x12, 1.5x2x4 mm" in out
    assert "left out: slices missing" in out
    assert "WRONG: no usable sequence" in out
    assert "2 cases: 1 can be used" in out


def test_dicom_beside_nifti_hides_none_of_it(call, tmp_path):
    """As in sourcedata of a BIDS folder; also where DICOM comes first."""
    two_cases(tmp_path)
    save(tmp_path / "P2/t2.nii.gz", np.full_like(brain("T2"), 3))
    write_classic(tmp_path / "A_source", voxels(), "T1 SE", number=2)
    code, out, err = call(tmp_path)
    assert code == 5
    assert "every voxel is 3" in out
    assert "2 cases: 1 can be used" in out
    assert f"found DICOM beside NIfTI in {tmp_path}, not looked at" in err
    assert call(tmp_path / "A_source")[0] == 0


def test_a_fault_of_the_program_is_told_by_the_exit_code(call, tmp_path, monkeypatch):
    two_cases(tmp_path)
    monkeypatch.setattr("pmmsynth.check.findings.read_sequence", lambda path: {}[path])
    code, out, _ = call(tmp_path)
    assert code == 70
    assert "unexpected KeyError" in out
    code, out, err = call(tmp_path, "--quiet")
    assert (code, out, len(err.splitlines())) == (70, "", 2), "each case once"


def test_a_file_that_does_not_say_how_it_lies(call, tmp_path):
    two_cases(tmp_path)
    for name in ("t1", "t2"):
        save(tmp_path / f"P2/{name}.nii.gz", brain(name.upper(), centre=ELSEWHERE), codes=(0, 0))
    code, out, _ = call(tmp_path)
    assert code == 0
    assert out.count("look at: T1 does not say how it lies (no sform, no qform)") == 1
    assert out.count("T1 does not say") == 1
    assert "2 cases: 2 can be used (1 to be looked at), 0 cannot" in out


@pytest.mark.parametrize("raw", [False, True])
def test_a_mask_that_does_not_say_how_it_lies(call, tmp_path, raw):
    """Beside sequences that do; also of scans whose sequences are still to be registered."""
    two_cases(tmp_path / "d")
    save(tmp_path / "d/P2/seg.nii.gz", (brain("T1", centre=ELSEWHERE) > 0).astype(np.float32), codes=(0, 0))
    table = '[[dataset]]\nname = "A"\nroot = "d"\nlayout = "brats"\n'
    (tmp_path / "c.toml").write_text(table + ("skull_stripped = false\nregistered = false\n" if raw else ""))
    code, out, _ = call(tmp_path / "c.toml")
    assert code == 5
    assert "seg.nii.gz: lesion mask does not say how it lies" in out


def test_places_with_nothing(call, tmp_path):
    (tmp_path / "empty").mkdir()
    assert call(tmp_path / "empty")[0] == 3
    assert call(tmp_path / "nowhere")[0] == 4
