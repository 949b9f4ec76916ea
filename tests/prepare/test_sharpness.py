"""Measures of single sequences, on noise and ramps whose values are known in closed form, and on real cases."""

from pathlib import Path

import numpy as np
import pytest
from prepare_phantoms import SMALL, SMALL_AFFINE, phantom
from scipy import ndimage

from pmmsynth.prepare import prepare_volumes
from pmmsynth.prepare.quality import interleave, levels, remarks, solidity
from pmmsynth.prepare.sharpness import sharpness
from pmmsynth.volume import Volume, read_volume

BRAIN = np.zeros((4, 120, 120), bool)
BRAIN[:, 5:115, 5:115] = True
NOISE = (0.25 + 0.005 * np.random.default_rng(0).standard_normal(BRAIN.shape)).astype(np.float32)
FULL = Path(__file__).parents[3] / "shared" / "data" / "glioma" / "full" / "Brats18_CBICA_APR_1"


def test_a_ramp_is_as_smooth_and_noise_as_sharp_as_can_be():
    ramp = np.broadcast_to(0.1 + np.add.outer(np.arange(120), np.arange(120)) * 1e-3, BRAIN.shape).astype(np.float32)
    assert sharpness(ramp, BRAIN) == pytest.approx({"sharpness": 0.5, "anisotropy": 1}, rel=1e-3)
    assert sharpness(NOISE, BRAIN) == pytest.approx({"sharpness": 1, "anisotropy": 1}, rel=0.02)


@pytest.mark.parametrize(("axis", "anisotropy"), [(2, 1 / 2), (1, 2)])
def test_means_of_four_pixels_along_one_axis_halve_its_steps(axis, anisotropy):
    """The steps along it have the variance 2/16 of the noise, those across it 2/4."""
    blurred = ndimage.uniform_filter1d(NOISE, 4, axis=axis)
    got = sharpness(blurred, BRAIN)
    assert got["anisotropy"] == pytest.approx(anisotropy, rel=0.05)
    assert got["sharpness"] == pytest.approx((1 + np.sqrt(1 / 2)) / 2, rel=0.02)


def test_a_bright_vessel_does_not_decide():
    vessel = NOISE.copy()
    vessel[:, 60, 20:100:2] = 1
    assert sharpness(vessel, BRAIN)["anisotropy"] == pytest.approx(1, abs=0.12)


def test_the_edge_of_the_brain_and_little_brain_say_nothing():
    assert sharpness(NOISE * BRAIN, BRAIN) == sharpness(NOISE, BRAIN)
    few = BRAIN.copy()
    few[:, 45:] = False  # 28 x 98 pixels of four slices are inside
    assert sharpness(NOISE, few) != {}
    few[:, 40:] = False
    assert sharpness(NOISE, few) == {}


def test_interleave_is_the_logarithm_of_the_ratio():
    brain = np.ones((12, 20, 20), bool)
    image = np.full(brain.shape, 0.25, np.float32)
    assert interleave(image, brain) == pytest.approx(0, abs=1e-6)
    image[1::2] *= 1.1
    assert interleave(image, brain) == pytest.approx(np.log(1.1), rel=1e-4)
    assert interleave(np.geomspace(0.1, 0.5, 12, dtype=np.float32)[:, None, None] * brain, brain) < 1e-6  # a drift
    assert interleave(image[:7], brain[:7]) == 0


def test_solidity_is_the_share_of_the_convex_outline():
    brain = np.zeros((20, 40, 40), bool)
    brain[:, 10:30, 10:30] = True
    assert solidity(brain) == pytest.approx(1)
    brain[:4, 20:30, 15:25] = False  # a bay 10 by 10 of 20 by 20, in a fifth of the slices
    assert solidity(brain) == pytest.approx(0.75)
    brain[2:4] = brain[10]
    brain[0] = False  # an empty slice says nothing; one in nineteen is below the tenth
    assert solidity(brain) == pytest.approx(1)


def test_levels_are_the_different_positive_values():
    assert levels(np.array([0, 0, -1, 3, 3, 7, 8], np.float32)) == 3
    assert levels(np.arange(1_000_000, dtype=np.float32).reshape(100, 100, 100) % 250) == 249


def test_negative_voxels_coarse_levels_and_uneven_slices_are_remarked_on():
    t1 = phantom(SMALL, SMALL_AFFINE)
    low, coarse, uneven = (t1.data.copy() for _ in range(3))
    low[:, :, 9:] *= -1
    coarse = np.ceil(coarse / 40).astype(np.float32)
    uneven[:, :, ::2] *= 1.2
    volumes = {"T1": t1} | {
        name: Volume(data, t1.affine) for name, data in (("T2", low), ("T1C", coarse), ("FLAIR", uneven))
    }
    got = prepare_volumes(volumes, matrix=48, inplane_mm=3)
    share = float((low < 0).sum() / (low != 0).sum())
    assert 0.05 < share < 0.2, "a remark, not yet a refusal"
    assert got.quality["T2"]["negative"] == pytest.approx(share)
    assert got.quality["T1C"]["levels"] == len(np.unique(coarse)) - 1
    assert got.quality["FLAIR"]["interleave"] == pytest.approx(np.log(1.2), abs=0.02)
    said = " ".join(remarks(got.quality))
    assert f"T2: {share:.0%} of the brain are below 0" in said
    assert f"T1C has only {len(np.unique(coarse)) - 1} grey levels" in said
    assert "FLAIR: odd and even slices differ by 1" in said


def real(name: str) -> Volume:
    path = FULL / f"{name}.nii.gz"
    if not path.is_file():
        pytest.skip(f"no real data at {path}")
    return read_volume(path)


@pytest.mark.parametrize("inplane_mm", [1.0, 2.0])
def test_a_real_sequence_that_is_blurred_is_the_one_named(inplane_mm):
    """Half of its values at 4 mm: all directions in plane, or one."""
    volumes = {name: real(name.lower()) for name in ("T1", "T2", "FLAIR")}
    kind = {"matrix": round(192 / inplane_mm), "inplane_mm": inplane_mm}
    ordinary = prepare_volumes(volumes, **kind).quality
    assert remarks(ordinary) == []
    for sigma, key, said in (
        ((1.7, 1.7, 0), "sharpness", "T2 is blurred in plane"),
        ((2.5, 0, 0), "anisotropy", "T2 is blurred from left to right"),
        ((0, 2.5, 0), "anisotropy", "T2 is blurred from front to back"),
    ):
        soft = Volume(ndimage.gaussian_filter(volumes["T2"].data, sigma), volumes["T2"].affine)
        got = prepare_volumes(volumes | {"T2": soft}, **kind).quality
        assert [remark.split(" (")[0] for remark in remarks(got)] == [said]
        change = np.log(got["T2"][key] / ordinary["T2"][key])
        assert change > 0.2 if said.endswith("back") else change < -0.1
        assert got["T1"] == ordinary["T1"]
