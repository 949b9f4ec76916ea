"""What cannot be one registered, skull-stripped brain is refused; what is doubtful is remarked on."""

import numpy as np
import pytest
from prepare_phantoms import CENTRE, SMALL, SMALL_AFFINE, beside, phantom

from pmmsynth.errors import BadInput
from pmmsynth.prepare import prepare_volumes
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.quality import alignment, remarks
from pmmsynth.volume import Volume

T1 = phantom(SMALL, SMALL_AFFINE)


def prepared(**volumes):
    return prepare_volumes({"T1": T1} | volumes, matrix=48, inplane_mm=3)


def test_holes_are_filled_and_specks_removed():
    data = T1.data.copy()
    data[19:22, 21:24, 5] = 0
    data[0, 0, 0] = 7
    mask = brain_mask(Volume(data, T1.affine), "T1")
    np.testing.assert_array_equal(mask, T1.data > 0)


@pytest.mark.parametrize("background", [-1.0, -1024.0, "noise"])
def test_a_background_below_0_is_no_brain_below_0(background):
    rng = np.random.default_rng(0)
    outside = -np.abs(rng.normal(0, 1e-3, SMALL)) if background == "noise" else np.full(SMALL, background)
    data = np.where(T1.data > 0, T1.data, outside).astype(np.float32)
    np.testing.assert_array_equal(brain_mask(Volume(data, T1.affine), "T1"), T1.data > 0)


@pytest.mark.parametrize("noise", [1.0, 0.02])
def test_noise_in_the_background_is_a_head_with_skull(noise):
    rng = np.random.default_rng(0)
    data = T1.data + rng.random(SMALL, dtype=np.float32) * noise
    with pytest.raises(BadInput, match=r"no background .* looks like a head with skull"):
        prepared(T1=Volume(data, T1.affine))


def test_more_tissue_than_a_brain_is_a_head_with_skull():
    shape = (90, 100, 40)
    affine = np.diag([3.0, 3, 6, 1])
    affine[:3, 3] = CENTRE - affine[:3, :3] @ np.array(shape) / 2
    with pytest.raises(BadInput, match=r"\d+ ml above 0, looks like a head"):
        prepared(T1=phantom(shape, affine, radii=np.array([80, 105, 95])))


def test_next_to_empty_is_refused():
    data = np.zeros(SMALL, np.float32)
    data[20, 20, 6] = 5
    with pytest.raises(BadInput, match="next to empty"):
        prepared(T1=Volume(data, T1.affine))


def test_brains_in_two_places_are_two_patients():
    other = phantom(SMALL, SMALL_AFFINE, centre=beside(45, 0, 0))
    with pytest.raises(BadInput, match="do not look like one patient"):
        prepared(T2=other)


def test_grids_without_overlap_are_refused():
    far = T1.affine.copy()
    far[0, 3] += 500
    with pytest.raises(BadInput, match="no overlap"):
        prepared(T2=Volume(T1.data, far))


def test_a_brain_larger_than_the_matrix():
    with pytest.raises(BadInput, match=r"% of the brain outside 16 pixels"):
        prepare_volumes({"T1": T1}, matrix=16, inplane_mm=3)
    got = prepare_volumes({"T1": T1}, matrix=26, inplane_mm=3)
    assert 0.005 < got.quality["T1"]["cropped"] < 0.1
    assert any("outside the crop" in r for r in remarks(got.quality))


def test_quality_notices_partial_coverage_and_a_foreign_sequence():
    slab = T1.data.copy()
    slab[:, :, :5] = 0
    noise = np.random.default_rng(0).random(SMALL, dtype=np.float32) * (T1.data > 0) * 50
    got = prepared(FLAIR=Volume(slab, T1.affine), T2=Volume(noise, T1.affine))
    assert got.quality["T1"]["alignment"] == pytest.approx(1)
    assert got.quality["FLAIR"]["alignment"] > 0.5 > abs(got.quality["T2"]["alignment"])
    said = " ".join(remarks(got.quality))
    assert "FLAIR covers" in said
    assert "T1 covers" not in said


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 0.011])
def test_edges_alike_everywhere_follow_nothing(value):
    brain = np.zeros((4, 60, 9), bool)
    brain[..., 1:8] = True
    image = np.broadcast_to(np.linspace(value, 3 * value, 9, dtype=np.float32), brain.shape)
    assert alignment(image, image, brain) == 0.0
