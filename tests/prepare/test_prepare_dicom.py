"""A cohort of DICOM: converted into the store, prepared from there; what changes is done again, what goes is gone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from prepare_phantoms import phantom

from dicom_phantoms import SHAPE, affine, write_classic
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.intake import convert
from pmmsynth.manifest import Manifest
from pmmsynth.prepare import prepare

COHORT = """
split = { train = ["*"], val = [], test = [] }
[[dataset]]
name = "ward"
root = "in"
layout = "dicom"
"""
MIDDLE = (affine() @ [*(np.array(SHAPE[::-1]) / 2), 1])[:3]
MODALITIES = (("T1", 0.0, 1), ("T2", 1.0, 2))


@pytest.fixture
def cohort(tmp_path):
    (tmp_path / "c.toml").write_text(COHORT)
    for patient in ("P1", "P2"):
        study(tmp_path / "in" / patient, patient)
    return tmp_path / "c.toml"


def study(folder, patient, modalities=MODALITIES):
    for name, phase, number in modalities:
        volume = phantom(SHAPE[::-1], affine(), centre=MIDDLE, radii=np.array([18.0, 30, 18]), phase=phase).data
        order = np.random.default_rng(number).permutation(SHAPE[0])
        study_id = f"1.2.{ord(patient[-1])}"
        write_classic(folder, np.uint16(volume.T), name, number=number, patient=patient, study=study_id, order=order)


def run(cohort, out):
    return prepare(cohort, out, matrix=48, inplane_mm=2, reporter=Reporter(quiet=True))


def state(out):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()}


def test_dicom_in_prepared_cases_out(cohort, tmp_path):
    outcome = run(cohort, tmp_path / "out")
    assert [c.record.modalities for c in outcome.results] == [("T1", "T2")] * 2
    assert all(c.record.dataset == "ward" for c in outcome.results)
    before = state(tmp_path / "out")
    assert run(cohort, tmp_path / "out").exit_code == 0
    assert state(tmp_path / "out") == before


def test_the_manifest_holds_from_any_folder(cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(cohort, Path("out"))
    monkeypatch.chdir("/")
    cases = Manifest.read(tmp_path / "out/manifest.jsonl").cases
    assert {path.parents[3] for case in cases for path in case.images.values()} == {tmp_path / "out/converted/ward"}


def test_a_sequence_or_patient_that_goes_is_gone(cohort, tmp_path):
    run(cohort, tmp_path / "out")
    for path in (tmp_path / "in/P1").glob("2-*"):
        path.unlink()
    shutil.rmtree(tmp_path / "in/P2")
    (case,) = run(cohort, tmp_path / "out").results
    assert case.record.modalities == ("T1",)


def test_a_study_that_cannot_be_converted_fails_alone(cohort, tmp_path):
    for path in sorted((tmp_path / "in/P2").glob("*.dcm")):
        path.write_bytes(path.read_bytes()[:-300])
    outcome = run(cohort, tmp_path / "out")
    assert outcome.exit_code == 5
    assert len(outcome.results) == 1
    (failure,) = outcome.failures
    assert failure.name.startswith("ward/sub-")
    assert "dcm2niix" in failure.reason


def test_a_dataset_without_dicom_is_named_and_refuses_the_cohort(cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    cohort.write_text(COHORT + '[[dataset]]\nname = "clinic"\nroot = "empty"\nlayout = "dicom"\n')
    reason = f"dataset clinic: no DICOM series of MR in {tmp_path / 'empty'}; expected at least one"
    with pytest.raises(BadInput, match=f"^found {reason}; check root and layout$"):
        run(cohort, tmp_path / "out")


def test_a_run_killed_while_converting_goes_on(cohort, tmp_path):
    """Nothing but converted files is there, and no store.json yet."""
    convert(tmp_path / "in", tmp_path / "out/converted/ward", reporter=Reporter(quiet=True))
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.nii.gz")}
    assert len(run(cohort, tmp_path / "out").results) == 2
    assert kept == {p: p.stat().st_mtime_ns for p in kept}
