"""What `convert` makes of a study with an odd series in it, and of one converted before."""

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_phantoms import voxels, write_classic, write_diffusion
from pmmsynth.console import Reporter
from pmmsynth.intake import bids, convert

QUIET = Reporter(quiet=True)


def remarks(root: Path, out: Path) -> tuple[str, ...]:
    (study,) = convert(root, out, reporter=QUIET).results
    return study.remarks


def images(out: Path) -> list[str]:
    return [path.name.split("_", 2)[2] for path in sorted(out.rglob("*.nii.gz"))]


def of_two_echoes(folder):
    for echo, time in ((1, 20), (2, 90)):
        write_classic(folder / str(echo), voxels(), "PD+T2", number=9, EchoTime=time, EchoNumbers=echo)


def cut(folder):
    path = write_classic(folder, voxels(), "T2", number=9)[3]
    path.write_bytes(path.read_bytes()[:-700])


def four_dimensional(folder):
    for part in (1, 2):
        write_classic(folder / str(part), voxels(), "T2", number=9, AcquisitionNumber=part)
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        image = pydicom.dcmread(path)
        image.InstanceNumber = number + 1
        image.save_as(path)


ODD = {
    of_two_echoes: "dcm2niix makes 2 images of it (Slices not stacked: echo varies (TE 90, 20; echo 2, 1)); "
    "expected one",
    cut: "dcm2niix makes 0 images of it (Warning: File not large enough to store image data: /in/000003.dcm); "
    "expected one",
    four_dimensional: "4-D, shape (32, 40, 12, 2); expected one volume",
}


@pytest.mark.parametrize("make", ODD)
def test_an_odd_series_is_left_out_with_what_matters_and_the_others_done(tmp_path, make):
    write_classic(tmp_path / "in/good", voxels(), "T1", number=1)
    make(tmp_path / "in/odd")
    assert remarks(tmp_path / "in", tmp_path / "out")[-1] == f"series 9 (T2) left out: {ODD[make]}"
    assert images(tmp_path / "out") == ["T1w.nii.gz"]


def test_colour_is_no_sequence(tmp_path):
    write_classic(tmp_path / "in/good", voxels(), "T1", number=1)
    volume = np.random.default_rng(0).integers(0, 255, (12, 40, 32, 3), dtype=np.uint8)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    write_classic(tmp_path / "in/odd", volume, "DTI directions", number=9, Rows=40, Columns=32, **colour, **eight)
    outcome = convert(tmp_path / "in", tmp_path / "out", reporter=QUIET)
    assert outcome.exit_code == 0
    (case,) = bids.find(tmp_path / "out", "D")
    assert case.modalities == ("T1",)


def test_a_conversion_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["pmmsynth.intake.convert"], "AFTER", 0.0)
    write_classic(tmp_path / "in", voxels(), "T2", number=9)
    outcome = convert(tmp_path / "in", tmp_path / "out", reporter=QUIET)
    assert outcome.exit_code == 4
    found = "series 9 (T2) left out: dcm2niix still at it after 0.0 s; expected an image in seconds"
    assert found in outcome.failures[0].reason


def test_what_an_earlier_conversion_made_and_this_one_does_not_is_removed(tmp_path):
    write_classic(tmp_path / "in", voxels(), "T1", number=3)
    write_classic(tmp_path / "in", voxels(), "T2", number=4)
    remarks(tmp_path / "in", tmp_path / "out")
    assert images(tmp_path / "out") == ["T1w.nii.gz", "T2w.nii.gz"]
    (t1,) = (tmp_path / "out").rglob("*_T1w.nii.gz")
    foreign = t1.with_name(t1.name.replace("T1w", "FLAIR"))
    foreign.touch()
    foreign.with_name(foreign.name.replace(".nii.gz", ".json")).write_text('{"EchoTime": 0.1}')
    write_classic(tmp_path / "in", voxels(seed=1), "T1", number=1)
    for path in (tmp_path / "in").glob("4-*"):
        path.unlink()
    said = remarks(tmp_path / "in", tmp_path / "out")
    name = t1.name.removesuffix("T1w.nii.gz")
    assert said == tuple(f"{name}{s}.nii.gz removed: the series no longer give it" for s in ("T1w", "T2w"))
    left = ["FLAIR.nii.gz", "run-1_T1w.nii.gz", "run-2_T1w.nii.gz"]
    assert images(tmp_path / "out") == left
    assert len(list((tmp_path / "out").rglob("sub-*.json"))) == len(left)


def test_a_study_in_two_folders_keeps_what_each_gives(tmp_path):
    for number, name in enumerate(("T1", "T2"), 1):
        write_classic(tmp_path / name, voxels(), name, number=number)
        assert not any("removed" in said for said in remarks(tmp_path / name, tmp_path / "out"))
    assert images(tmp_path / "out") == ["T1w.nii.gz", "T2w.nii.gz"]


@pytest.fixture
def twice(tmp_path) -> tuple[Path, Path]:
    """One study in two folders, of which both have a T1; the images of the first are converted."""
    for seed, (folder, other, inversion) in enumerate([("a", "T2", 0), ("b", "FLAIR", 2500)]):
        write_classic(tmp_path / folder, voxels(seed=seed), "T1", number=7)
        times = {"EchoTime": 90, "RepetitionTime": 9000, "InversionTime": inversion}
        write_classic(tmp_path / folder, voxels(), other, number=8, **times)
    remarks(tmp_path / "a", tmp_path / "out")
    return tmp_path / "b", tmp_path / "out"


def test_an_image_that_another_folder_gave_stays(twice):
    second, out = twice
    (t1,) = out.rglob("*_T1w.nii.gz")
    before = t1.read_bytes()
    assert remarks(second, out) == (
        f"series 7 (T1) left out: {t1.name} there from elsewhere; expected a study in one folder, or --overwrite",
    )
    assert t1.read_bytes() == before
    assert images(out) == ["FLAIR.nii.gz", "T1w.nii.gz", "T2w.nii.gz"]

    (study,) = convert(second, out, overwrite=True, reporter=QUIET).results
    assert study.remarks == ()
    assert t1.read_bytes() != before
    assert remarks(second, out) == (), "now its own"


def test_a_folder_that_was_moved_replaces_what_it_gave(twice):
    second, out = twice
    (t1,) = out.rglob("*_T1w.nii.gz")
    before = t1.read_bytes()
    (study,) = convert(second, out, others=set(), reporter=QUIET).results
    assert study.remarks == ()
    assert t1.read_bytes() != before
    (study,) = convert(second.with_name("a"), out, others={t1}, reporter=QUIET).results
    assert [remark.partition(":")[0] for remark in study.remarks] == ["series 7 (T1) left out"]


def test_an_image_of_whoever_stays(twice):
    second, out = twice
    (t1,) = out.rglob("*_T1w.nii.gz")
    t1.with_name(t1.name.replace(".nii.gz", ".json")).unlink()
    (said,) = remarks(second, out)
    assert said.startswith("series 7 (T1) left out")


def test_adc_that_cannot_be_converted_is_made_of_raw_diffusion(tmp_path):
    write_diffusion(tmp_path / "in", voxels(), [(0, 1.0), (1000, 0.5), (1000, 0.3), (1000, 0.4)], number=3)
    cut_adc = write_classic(tmp_path / "in/adc", voxels(), "ADC", number=9, ImageType=["DERIVED", "PRIMARY", "ADC"])[3]
    cut_adc.write_bytes(cut_adc.read_bytes()[:-700])
    said = remarks(tmp_path / "in", tmp_path / "out")
    assert said[0].startswith("series 9 (ADC) left out: dcm2niix makes")
    assert images(tmp_path / "out") == ["ADC.nii.gz", "trace.nii.gz"]
