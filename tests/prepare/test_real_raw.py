"""Real heads: the brain is found, a known move is undone, headers that are off by millimetres are put right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pmmsynth.case import Scans
from pmmsynth.console import Reporter
from pmmsynth.intake.convert import convert
from pmmsynth.prepare import prepare_volumes
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.quality import remarks, unfit
from pmmsynth.prepare.register import register
from pmmsynth.volume import Volume, read_volume

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[3] / "shared" / "data"


def read(place: str) -> Volume:
    path = DATA / f"{place}.nii.gz"
    if not path.is_file():
        pytest.skip(f"no real data at {path}")
    return read_volume(path)


@pytest.mark.parametrize(("name", "least"), [("dwi", 0.92), ("b0", 0.92), ("adc", 0.85)])
def test_the_brain_of_a_head(name, least):
    volume, mask = read(f"stroke/ads_jhu/subject02/{name}"), read("stroke/ads_jhu/subject02/brainmask").data > 0
    found = extract_brain(volume)
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > least


def test_a_known_move_of_a_real_brain_is_undone():
    fixed, moving = read("healthy/kirby21/113-02/t1"), read("healthy/kirby21/113-02/flair")
    brain = brain_mask(fixed, "T1")
    points = np.argwhere(brain)[::500] @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    known = np.eye(4)
    known[:3, :3] = Rotation.from_euler("xyz", (9, -6, 8), degrees=True).as_matrix()
    known[:3, 3] = points.mean(0) - known[:3, :3] @ points.mean(0) + (11, -9, 12)
    found = register(replace(moving, affine=known @ moving.affine), fixed, brain)
    left = found.matrix @ known
    assert np.linalg.norm(points @ left[:3, :3].T + left[:3, 3] - points, axis=1).mean() < 0.5  # mm
    assert np.rad2deg(Rotation.from_matrix(left[:3, :3]).magnitude()) < 0.5
    assert found.doubt < 1


def test_a_raw_case_comes_out_aligned():
    folder = "immune/open_ms_raw/patient12_study1"
    raw = {name.upper(): read(f"{folder}/{name}") for name in ("t1", "t2", "flair")}
    got = prepare_volumes(raw, scans=Scans(skull_stripped=False, registered=False))
    as_is = prepare_volumes(raw, scans=Scans(skull_stripped=False))
    for name in ("T2", "FLAIR"):
        assert 2 < got.quality[name]["moved"] < 5  # its README: right to about 2 mm
        assert got.quality[name]["alignment"] > as_is.quality[name]["alignment"] + 0.05
        assert got.quality[name]["coverage"] > 0.98
    assert got.native.data is raw["T1"].data
    assert (unfit(got.quality), remarks(got.quality)) == (None, [])


def test_a_brain_mask_with_a_gap_is_remarked_on(tmp_path):
    series = DATA / "dicom" / "philips_dwi"
    if not series.is_dir():
        pytest.skip(f"no real data at {series}")
    convert(series, tmp_path, reporter=Reporter(quiet=True))
    (image,) = tmp_path.rglob("*_trace.nii.gz")
    heads = Scans(skull_stripped=False)
    gap = prepare_volumes({"DWI": read_volume(image)}, scans=heads).quality
    assert gap["DWI"]["solidity"] < 0.65
    assert any("has a gap" in said for said in remarks(gap))
    whole = prepare_volumes({"DWI": read("stroke/ads_jhu/subject02/dwi")}, scans=heads).quality
    assert whole["DWI"]["solidity"] > 0.8
    assert not any("has a gap" in said for said in remarks(whole))
