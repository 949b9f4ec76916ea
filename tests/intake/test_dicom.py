"""DICOM in any order becomes NIfTI with the same voxels in the same place; what is broken is named and left out."""

import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from dicom_phantoms import SHAPE, affine, voxels, write_classic, write_diffusion, write_enhanced
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo
from pmmsynth.intake import bids, convert
from pmmsynth.intake.dicom import holds_dicom, series_under

QUIET = Reporter(quiet=True)
SHUFFLED = np.random.default_rng(3).permutation(SHAPE[0])


def converted(root, out, **options):
    outcome = convert(root, out, reporter=QUIET, **options)
    return outcome, {c.id: c for c in bids.find(out, "D")} if out.is_dir() else {}


def assert_same_place(path, volume):
    """Same value at the same point of the patient, whichever way the axes are stored."""
    image = nib.load(path)
    index = np.argwhere(np.ones(volume.shape, bool))[::97]  # slice, row, column
    points = index[:, ::-1] @ affine()[:3, :3].T + affine()[:3, 3]
    inverse = np.linalg.inv(image.affine)
    found = points @ inverse[:3, :3].T + inverse[:3, 3]
    np.testing.assert_allclose(found, found.round(), atol=1e-3)
    values = np.asarray(image.dataobj)[tuple(found.round().astype(int).T)]
    np.testing.assert_array_equal(values, volume[tuple(index.T)])


@pytest.mark.parametrize("order", [None, SHUFFLED], ids=["in order", "scrambled"])
def test_a_classic_series(tmp_path, order):
    write_classic(tmp_path / "in/a/b", voxels(), "T1 SE", order=order)
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert outcome.exit_code == 0
    assert list(case.images) == ["T1"]
    assert_same_place(case.images["T1"], voxels())


def test_an_enhanced_series(tmp_path):
    write_enhanced(tmp_path / "in/x", voxels(), "brain axial")
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert list(case.images) == ["FLAIR"], "by TE, TR and TI of its functional groups"
    assert_same_place(case.images["FLAIR"], voxels())


def test_raw_diffusion_gives_trace_and_adc(tmp_path):
    s0 = voxels() + np.uint16(200)
    write_diffusion(tmp_path / "in", s0, [(0, 1.0), (1000, 0.5), (1000, 0.3), (1000, 0.4)], number=5)
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert list(case.images) == ["DWI", "ADC"]
    assert outcome.results[0].remarks == ("series 5: DWI is the mean of 3 volumes at b = 1000 s/mm2",)
    adc = nib.load(case.images["ADC"]).get_fdata()
    expected = -np.log([0.5, 0.3, 0.4]).mean() / 1000
    np.testing.assert_allclose(np.median(adc), expected, rtol=0.01)
    assert json.loads(case.images["ADC"].with_name(f"{case.id}_ADC.json").read_text())["Units"] == "mm2/s"


def test_nothing_that_names_the_patient_is_written_or_said(tmp_path, capsys):
    write_classic(tmp_path / "in", voxels(), "T1", patient="SECRET77")
    convert(tmp_path / "in", tmp_path / "out", reporter=Reporter())
    written = b"".join(p.read_bytes() + str(p).encode() for p in (tmp_path / "out").rglob("*") if p.is_file())
    image = next((tmp_path / "out").rglob("*.nii.gz"))
    written += nib.load(image).header.binaryblock
    said = "".join(capsys.readouterr())
    for secret in (b"SECRET77", b"20200101", b"19700101", b"101010"):
        assert secret not in written
        assert secret.decode() not in said


def test_what_is_there_is_kept_and_a_changed_series_made_again(tmp_path):
    write_classic(tmp_path / "in", voxels(), "T1", number=1)
    write_classic(tmp_path / "in", voxels(), "T2", number=2)
    converted(tmp_path / "in", tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")}
    outcome, _ = converted(tmp_path / "in", tmp_path / "out")
    assert (len(outcome.results[0].new), len(outcome.results[0].kept)) == (0, 2)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")}
    write_classic(tmp_path / "in", voxels(seed=1), "T2", number=2)
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    assert [p.name.split("_")[-1] for p in outcome.results[0].new] == ["T2w.nii.gz"]
    assert_same_place(next(iter(cases.values())).images["T2"], voxels(seed=1))


def test_several_series_of_one_sequence_are_runs_and_the_choice_is_told(tmp_path):
    for number in (12, 3):
        write_classic(tmp_path / "in", voxels(seed=number), "T1", number=number)
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert_same_place(case.images["T1"], voxels(seed=3))
    assert case.remarks == (f"T1: {case.id}_run-1_T1w.nii.gz taken, left {case.id}_run-2_T1w.nii.gz",)


def test_a_series_whose_times_speak_against_its_name_is_the_last_run(tmp_path):
    times = {2: (120, 9000, 2500), 7: (100, 5000, 0)}
    for number, (echo, repetition, inversion) in times.items():
        tags = {"EchoTime": echo, "RepetitionTime": repetition, "InversionTime": inversion}
        write_classic(tmp_path / "in", voxels(seed=number), "AX T2", number=number, **tags)
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert case.images["T2"].name == f"{case.id}_run-1_T2w.nii.gz"
    assert_same_place(case.images["T2"], voxels(seed=7))


def test_two_studies_of_a_patient_are_two_sessions_and_copies_count_once(tmp_path):
    write_classic(tmp_path / "in/a", voxels(), "T1", study="1.2.3")
    write_classic(tmp_path / "in/b", voxels(), "T1", study="1.2.4")
    for path in sorted((tmp_path / "in/a").iterdir()):
        (tmp_path / f"in/copy-{path.name}").write_bytes(path.read_bytes())
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    assert len(cases) == 2
    assert len({case.subject for case in cases.values()}) == 1
    for case in cases.values():
        assert_same_place(case.images["T1"], voxels())


# --- what is broken -------------------------------------------------------------------------------------------------


def without_slices(root):
    for path in write_classic(root, voxels(), "T2", number=9)[4:6]:
        path.unlink()


def of_two_sizes(root):
    write_classic(root, voxels(), "T2", number=9)
    write_classic(root / "more", voxels((12, 24, 24)), "T2", number=9)


def incomplete_volumes(root):
    write_classic(root, voxels(), "ep2d_diff", number=9, DiffusionBValue=0.0)
    for path in write_classic(root / "more", voxels(), "ep2d_diff", number=9, DiffusionBValue=1000.0)[:5]:
        path.unlink()


def cut_pixels(root):
    path = write_classic(root, voxels(), "T2", number=9)[3]
    path.write_bytes(path.read_bytes()[:-700])


def scout(root):
    write_classic(root, voxels((3, 40, 32)), "T2", number=9)


def crossed(root):
    write_classic(root, voxels(), "T2", number=9)
    write_classic(root / "more", voxels(), "T2", number=9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])


BROKEN = {
    "missing slices": (without_slices, r"series 9 \(T2\) left out: slices missing \(a gap of 12 mm .* 4 mm\)"),
    "mixed sizes": (of_two_sizes, r"series 9 \(T2\) left out: images of 2 sizes \(32x40, 24x24\)"),
    "incomplete volumes": (
        incomplete_volumes,
        r"series 9 \(DWI\) left out: volumes incomplete \(19 images in 12 places",
    ),
    "scout": (scout, None),
    "crossed planes": (crossed, None),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_series_is_left_out_with_its_reason_and_the_others_done(tmp_path, kind):
    make, expected = BROKEN[kind]
    write_classic(tmp_path / "in/good", voxels(), "T1", number=1)
    make(tmp_path / "in/bad")
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    (case,) = cases.values()
    assert list(case.images) == ["T1"]
    assert_same_place(case.images["T1"], voxels())
    said = " ".join(outcome.results[0].remarks)
    assert (expected is None and not said) or pytest.importorskip("re").search(expected, said)


def test_cut_pixels_fail_their_study_and_no_other(tmp_path):
    cut_pixels(tmp_path / "in/bad")
    write_classic(tmp_path / "in/good", voxels(), "T1", study="1.2.9", patient="P2")
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 5
    (failure,) = outcome.failures
    assert "series 9 (T2) left out: dcm2niix makes 0 images" in failure.reason
    assert len(cases) == 1


def test_two_people_under_one_identifier_are_refused(tmp_path):
    write_classic(tmp_path / "in/a", voxels(), "T1", number=1)
    write_classic(tmp_path / "in/b", voxels(), "T2", number=2, PatientName="Other^Person")
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 4
    assert "2 names or birth dates under one patient identifier" in outcome.failures[0].reason
    assert not cases


def test_files_of_other_kinds_are_left_alone_and_unreadable_ones_named(tmp_path):
    write_classic(tmp_path / "in", voxels(), "T1")
    write_classic(tmp_path / "in", voxels(), "CT head", number=4, Modality="CT")
    (tmp_path / "in/notes.txt").write_text("x")
    (tmp_path / "in/short.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "in/noise.dcm").write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)) * 4)
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone").symlink_to(tmp_path / "nowhere")
    series, broken = series_under(tmp_path / "in")
    assert [(s.modality, len(s.files)) for s in series] == [("T1", SHAPE[0])]
    assert {"gone"} <= {p.name for p in broken} <= {"short.dcm", "noise.dcm", "gone"}
    outcome, cases = converted(tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 0
    assert len(cases) == 1


def test_files_that_may_not_be_opened_are_named_though_nothing_else_is_there(tmp_path, monkeypatch, capsys):
    """A copy of a ward's archive with the rights of another user: not a folder without DICOM."""
    (locked,) = write_classic(tmp_path / "in", voxels()[:1], "T1")
    honest = Path.open

    def refuse(path, *args, **kwargs):
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert not holds_dicom(tmp_path / "in")
    with pytest.raises(NothingToDo):
        converted(tmp_path / "in", tmp_path / "out")
    assert f"{locked}: not readable" in capsys.readouterr().err


def test_an_index_that_points_elsewhere_is_not_followed(tmp_path):
    secret = write_classic(tmp_path / "elsewhere", voxels(), "T2", patient="OTHER", study="9.9")[0]
    write_classic(tmp_path / "in", voxels(), "T1")
    index = pydicom.dcmread(secret)
    index.ReferencedFileID = ["ELSEWHERE", "A"]
    index.save_as(tmp_path / "in/DICOMDIR")
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    assert [list(c.images) for c in cases.values()] == [["T1"]]


def test_places_without_dicom(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not holds_dicom(tmp_path / "empty")
    with pytest.raises(NothingToDo, match="found no DICOM series of MR"):
        convert(tmp_path / "empty", tmp_path / "out", reporter=QUIET)
    with pytest.raises(BadInput, match="no folder at"):
        convert(tmp_path / "nowhere", tmp_path / "out", reporter=QUIET)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, closed):
    write_classic(tmp_path / "in/good", voxels(), "T1")
    write_classic(tmp_path / "in/bad", voxels(), "T2", number=2)
    closed(tmp_path / "in/bad")
    for look in (series_under, holds_dicom):
        with pytest.raises(BadInput, match=r"the folder .*/in/bad: Permission denied"):
            look(tmp_path / "in")
    with pytest.raises(BadInput, match=r"the folder .*/in/bad: Permission denied"):
        convert(tmp_path / "in", tmp_path / "out", reporter=QUIET)
    assert not (tmp_path / "out").exists()


# --- real files -----------------------------------------------------------------------------------------------------


def test_real_series(tmp_path, shared):
    """A tumour patient's FLAIR and T1, and diffusion whose files are in no order."""
    with zipfile.ZipFile(shared / "dicom/brainix/T1.zip") as archive:
        archive.extractall(tmp_path / "in")
    for name in ("brainix/FLAIR", "philips_dwi/DTI"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        for path in (shared / "dicom" / name).iterdir():
            target = tmp_path / "in" / name / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    _, cases = converted(tmp_path / "in", tmp_path / "out")
    shapes = {tuple(c.images): [nib.load(p).shape for p in c.images.values()] for c in cases.values()}
    assert shapes == {("T1", "FLAIR"): [(512, 512, 22), (288, 288, 22)], ("DWI", "ADC"): [(112, 112, 32)] * 2}
    adc = next(c for c in cases.values() if "ADC" in c.images).images["ADC"]
    values = nib.load(adc).get_fdata()
    brain = nib.load(adc.with_name(adc.name.replace("ADC", "trace"))).get_fdata() > 4000
    assert 0.5e-3 < np.median(values[brain]) < 1.2e-3, "mm2/s of brain tissue"
