"""What raw scans go through before they are resampled: which sequence moves, which follows, which stays."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepare_phantoms import CENTRE, SMALL, SMALL_AFFINE, affine_of, cohort, phantom, save

from pmmsynth.case import Scans
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.prepare import align as aligning
from pmmsynth.prepare import prepare, prepare_volumes
from pmmsynth.prepare.align import align
from pmmsynth.prepare.bias import without_bias
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.register import Registration
from pmmsynth.volume import Volume

T1 = phantom(SMALL, SMALL_AFFINE)
OTHER = affine_of("LPS", (2, 2, 5), (60, 66, 14))
DWI, ADC = (phantom((60, 66, 14), OTHER, phase=phase) for phase in (1.0, 2.0))
RAW = Scans(registered=False)
SHIFT = np.eye(4)
SHIFT[:3, 3] = 5, -4, 3


@pytest.fixture
def registered(monkeypatch) -> list[Volume]:
    """Registration that finds SHIFT for whatever is moved, and a header that is right for what shares T1's grid."""
    moved: list[Volume] = []

    def register(moving, fixed, brain):
        moved.append(moving)
        return Registration(SHIFT, 0.7, 7.1, 0.2)

    monkeypatch.setattr(aligning, "register", register)
    monkeypatch.setattr(aligning, "drift", lambda *_: 0.4)
    return moved


def test_the_adc_goes_where_its_dwi_goes(registered):
    got = align({"T1": T1, "DWI": DWI, "ADC": ADC}, RAW)
    assert registered == [DWI]
    for name in ("DWI", "ADC"):
        assert np.array_equal(got.volumes[name].affine, SHIFT @ OTHER)
    assert got.volumes["T1"] is T1
    assert set(got.registrations) == {"DWI", "ADC"}


def test_an_adc_on_a_grid_of_its_own_is_registered_itself(registered):
    other = replace(ADC, affine=SHIFT @ OTHER)
    align({"T1": T1, "DWI": DWI, "ADC": other}, RAW)
    assert registered == [DWI, other]


def test_an_adc_on_the_reference_stays(registered, monkeypatch):
    monkeypatch.setattr(aligning, "drift", lambda *_: 9.0)
    assert align({"DWI": DWI, "ADC": ADC}, RAW).registrations == {}


def test_one_grid_stays_unless_a_look_says_otherwise(registered, monkeypatch):
    same = phantom(SMALL, SMALL_AFFINE, phase=1)
    assert align({"T1": T1, "T2": same}, RAW).volumes["T2"] is same
    monkeypatch.setattr(aligning, "drift", lambda *_: 2.5)
    assert np.array_equal(align({"T1": T1, "T2": same}, RAW).volumes["T2"].affine, SHIFT @ SMALL_AFFINE)


def test_registered_scans_are_left_alone(registered):
    got = align({"T1": T1, "DWI": DWI}, Scans())
    assert got.volumes == {"T1": T1, "DWI": DWI}
    assert registered == []


def test_a_lesion_goes_with_the_sequence_it_was_drawn_on(registered):
    on_dwi, on_t1 = (Volume((v.data > 0).astype(np.float32), v.affine) for v in (DWI, T1))
    moved, stays = (align({"T1": T1, "DWI": DWI}, RAW, lesion=m).lesion for m in (on_dwi, on_t1))
    assert moved is not None
    assert stays is on_t1
    assert np.array_equal(moved.affine, SHIFT @ OTHER)


def test_a_given_mask_replaces_the_search():
    noisy = replace(T1, data=T1.data + 1)  # no background: a head with skull
    given = phantom((60, 66, 14), OTHER, radii=np.array([20.0, 20, 20]))
    brain = align({"T1": noisy}, Scans(skull_stripped=False), mask=given).brain
    assert brain.sum() * 54 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.05)  # voxels of 54 mm3
    far = OTHER.copy()
    far[0, 3] += 900
    with pytest.raises(BadInput, match="nothing of it lies in"):
        align({"T1": noisy}, Scans(), mask=replace(given, affine=far))


def test_one_interpolation_brings_a_displaced_sequence_back():
    displaced = np.linalg.inv(SHIFT)
    t2 = replace(T1, data=np.where(T1.data > 0, 400 - 2 * T1.data, 0).astype(np.float32))
    moved = replace(t2, affine=displaced @ t2.affine)
    got = prepare_volumes({"T1": T1, "T2": moved}, matrix=48, inplane_mm=3, scans=RAW)
    straight = prepare_volumes({"T1": T1, "T2": t2}, matrix=48, inplane_mm=3)
    assert np.linalg.norm((got.moves["T2"] @ displaced @ [*CENTRE, 1])[:3] - CENTRE) < 0.6
    inside = got.brain & (got.images[1] > 0) & (straight.images[1] > 0)
    assert np.abs(got.images[1] - straight.images[1])[inside].mean() < 0.01
    assert got.quality["T2"]["moved"] == pytest.approx(np.linalg.norm(SHIFT[:3, 3]), abs=0.7)
    assert got.quality["T2"]["doubt"] < 1


@pytest.mark.parametrize(
    ("doubt", "information", "said"),
    [(6.5, 0.7, "two starts end 6.5 mm apart"), (0.2, 0.08, "information 0.08")],
)
def test_a_doubtful_registration_is_left_out_unless_accepted(tmp_path, monkeypatch, doubt, information, said):
    for name, volume in {"t1": T1, "flair": DWI}.items():
        save(tmp_path / "in" / "P1" / f"{name}.nii.gz", volume.data, volume.affine)
    monkeypatch.setattr(aligning, "register", lambda *_: Registration(np.eye(4), information, 0.0, doubt))
    table = 'name = "A"\nroot = "in"\nlayout = "brats"\nregistered = false\nsplit = {train = ["*"]}\n'

    def run(more: str = ""):
        path = cohort(tmp_path, table + more)
        return prepare(path, tmp_path / "store", matrix=48, inplane_mm=3, reporter=Reporter(quiet=True))

    refused = run()
    assert refused.exit_code == 4  # of all cases, none is left
    assert f"registration of FLAIR cannot be trusted ({said})" in refused.failures[0].reason
    (kept,) = run('accept = ["P*"]').results
    assert kept.record.moves["FLAIR"] == tuple(map(tuple, np.eye(4).tolist()))
    assert kept.record.quality["FLAIR"]["doubt"] == doubt


def install(folder: Path, name: str, script: str, monkeypatch) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_command_makes_the_mask(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no command mri_synthstrip"):
        extract_brain(T1, "synthstrip")
    half = save(tmp_path / "half.nii.gz", phantom(SMALL, SMALL_AFFINE).data > 100)
    install(tmp_path, "mri_synthstrip", f'test "$1 $2 $3" = "-i image.nii.gz -m" && cp {half} "$4"', monkeypatch)
    big = replace(T1, affine=np.diag([2, 2, 2, 1]) @ T1.affine)  # 8 times the volume: a brain by its size
    assert np.array_equal(extract_brain(big, "synthstrip"), T1.data > 100)
    with pytest.raises(BadInput, match=r"synthstrip finds a brain of \d+ ml"):
        extract_brain(T1, "synthstrip")


def test_a_command_that_fails_is_said(tmp_path, monkeypatch):
    install(tmp_path, "hd-bet", "echo no weights >&2; exit 3", monkeypatch)
    with pytest.raises(BadInput, match=r"hd-bet ended with code 3 \(no weights\)"):
        extract_brain(T1, "hd-bet")


def test_the_bias_field_is_taken_out():
    rows = np.linspace(-1, 1, SMALL[0])[:, None, None]
    flat = np.where(T1.data > 0, 100.0, 0.0).astype(np.float32)
    flat += np.random.default_rng(0).normal(0, 1, SMALL).astype(np.float32) * (flat > 0)
    biased = replace(T1, data=(flat * np.exp(0.4 * rows)).astype(np.float32))
    brain = T1.data > 0
    corrected = without_bias(biased, brain)
    before, after = (v.data[brain].std() / v.data[brain].mean() for v in (biased, corrected))
    assert after < 0.4 * before
    assert corrected.data[brain].mean() == pytest.approx(biased.data[brain].mean(), rel=1e-4)


def test_what_n4_cannot_work_on_is_bad_input_and_no_brain_is_left_as_it_is():
    single = Volume(np.full((40, 44, 1), 100, np.float32), np.diag([2.0, 2, 5, 1]))
    with pytest.raises(BadInput, match=r"N4 finds no field.* expected a volume of several slices"):
        without_bias(single, single.data > 0)
    assert without_bias(single, single.data > 1000) is single, "a sequence elsewhere: said by who compares their places"
