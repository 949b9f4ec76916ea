"""The prepared grid and back: every orientation, exact where voxels coincide, true to the world always."""

import nibabel as nib
import numpy as np
import pytest
from prepare_phantoms import CENTRE, affine_of, beside, phantom, tissue, world

from pmmsynth.prepare import prepare_volumes, to_native, to_native_values
from pmmsynth.prepare.crop import brain_to_native, on_prepared, share_outside
from pmmsynth.volume import Grid, Volume

KINDS = {
    "RAS": ("RAS", (110, 116, 70), (1, 1, 1), (0, 0, 0)),
    "LPS": ("LPS", (110, 116, 70), (1, 1, 1), (0, 0, 0)),
    "flipped": ("RPI", (110, 116, 70), (1, 1, 1), (0, 0, 0)),
    "sagittal storage": ("ASR", (116, 70, 110), (1, 1, 1), (0, 0, 0)),
    "coronal storage": ("LIP", (110, 70, 116), (1, 1, 1), (0, 0, 0)),
    "oblique": ("LPS", (110, 116, 70), (1, 1, 1), (12, -7, 5)),
    "oblique sagittal": ("PIR", (116, 70, 110), (1, 1, 1), (4, 9, -11)),
    "thick": ("LPS", (110, 116, 14), (1, 1, 5), (0, 0, 0)),
    "thick oblique": ("RAS", (110, 116, 14), (1.0004, 0.9996, 5), (10, 3, 2)),
    "smaller than the matrix": ("LAS", (70, 86, 66), (1, 1, 1), (0, 0, 0)),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def volume(request) -> Volume:
    codes, shape, spacing, degrees = request.param
    return phantom(shape, affine_of(codes, spacing, shape, degrees))


def test_grid_is_lps_with_all_slices(volume):
    got = prepare_volumes({"T1": volume}, matrix=96)
    assert "".join(nib.aff2axcodes(got.prepared.affine)) == "LPS"
    through = int(np.argmax(np.abs(np.linalg.inv(volume.affine)[:3, :3] @ got.prepared.affine[:3, 2])))
    assert got.prepared.shape == (96, 96, volume.data.shape[through])
    np.testing.assert_allclose(got.prepared.spacing[2], volume.grid.spacing[through])
    assert got.images.shape == (1, got.prepared.shape[2], 96, 96)
    assert got.images.dtype == np.float32
    rows, columns = (np.flatnonzero(got.brain.any(axis=a)) for a in ((0, 2), (0, 1)))
    for occupied in (rows, columns):
        assert abs((occupied[0] + occupied[-1]) / 2 - 47.5) <= 1  # centred


def test_voxels_inside_the_crop_come_back_exactly(volume):
    got = prepare_volumes({"T1": volume}, matrix=96)
    there = on_prepared(volume.data, volume.grid, got.prepared)
    back = to_native(there, got.prepared, volume.grid)
    kept = to_native(np.ones_like(there), got.prepared, volume.grid) > 0
    assert back.shape == volume.data.shape
    np.testing.assert_array_equal(back[kept], volume.data[kept])
    assert not back[~kept].any()
    assert kept[volume.data > 0].all()
    values = to_native_values(to_native(got.images[0], got.prepared, volume.grid), got.intensity["T1"])
    inside = volume.data > 0
    np.testing.assert_allclose(values[inside], volume.data[inside], rtol=1e-6)


def test_a_landmark_keeps_its_place_in_the_world(volume):
    place = tuple(np.rint(np.linalg.inv(volume.affine) @ [*beside(9, -13, 5), 1])[:3].astype(int))
    volume.data[place] = 300
    got = prepare_volumes({"T1": volume}, matrix=96)
    k, row, column = np.unravel_index(np.argmax(got.images[0]), got.images[0].shape)
    there = got.prepared.affine @ [column, row, k, 1]
    np.testing.assert_allclose(there[:3], (volume.affine @ [*place, 1])[:3], atol=1e-6)


def test_rows_run_to_posterior_and_columns_to_left():
    shape = (80, 90, 70)
    volume = phantom(shape, affine_of("RAS", (1, 1, 1), shape))
    points = world(volume.grid) - CENTRE
    volume.data[(points[..., 0] < -10) & (volume.data > 0)] += 100  # the patient's left
    volume.data[(points[..., 1] > 10) & (volume.data > 0)] += 50  # the nose
    image = prepare_volumes({"T1": volume}, matrix=96).images[0, 35]
    assert image[48, 60:80].mean() > image[48, 16:36].mean() + 0.1
    assert image[10:40, 44:52].mean() > image[60:80, 44:52].mean() + 0.04


@pytest.mark.parametrize(
    ("codes", "shape", "spacing", "degrees", "slice_mm"),
    [
        ("LPS", (120, 120, 24), (0.8, 0.8, 3), (6, 0, 3), None),
        ("RAS", (60, 60, 50), (1.7, 1.7, 1.5), (0, 0, 0), None),
        ("PSR", (140, 110, 40), (0.7, 0.7, 2), (0, 0, 0), None),
        ("LPS", (90, 100, 70), (1, 1, 1), (0, 0, 0), 2.0),
    ],
)
def test_other_spacings_are_restored_on_a_smooth_phantom(codes, shape, spacing, degrees, slice_mm):
    volume = phantom(shape, affine_of(codes, spacing, shape, degrees))
    got = prepare_volumes({"T1": volume}, matrix=96, slice_mm=slice_mm)
    np.testing.assert_allclose(got.prepared.spacing[:2], 1)
    back = to_native_values(to_native(got.images[0], got.prepared, volume.grid), got.intensity["T1"])
    points = world(volume.grid)
    deep = (((points - CENTRE) / [27, 35, 24]) ** 2).sum(-1) < 1
    truth = tissue(points)
    assert np.abs(back - truth)[deep].max() < 3  # of a range of 90
    assert np.abs(back - truth)[deep].mean() < 0.5
    there = Grid(got.prepared.shape, got.prepared.affine)
    inside = (((world(there) - CENTRE) / [27, 35, 24]) ** 2).sum(-1) < 1
    values = got.images[0].transpose(2, 1, 0) * got.intensity["T1"].scale
    assert np.abs(values - tissue(world(there)))[inside].max() < 3


@pytest.mark.parametrize("pixel", [0.5, 0.9375, 1.0, 1.3])
def test_the_way_back_mixes_nothing_from_outside_the_brain(pixel):
    """A constant comes back as it is, up to the rim, and a ramp within a pixel's rise."""
    shape = (round(90 / pixel), round(100 / pixel), 12)
    volume = phantom(shape, affine_of("LPS", (pixel, pixel, 5), shape))
    got = prepare_volumes({"T1": volume}, matrix=96)
    share = to_native(got.brain, got.prepared, volume.grid)
    inside = got.native_brain & (share > 0.01)
    assert inside.sum() > 0.999 * got.native_brain.sum()
    flat = brain_to_native(got.brain.astype(np.float32), share, got.prepared, volume.grid)
    np.testing.assert_allclose(flat[inside], 1, rtol=0, atol=1e-6)
    assert flat.max() <= 1
    ramp = (world(got.prepared)[..., 0] + 60) / 128
    back = brain_to_native(ramp.transpose(2, 1, 0) * got.brain, share, got.prepared, volume.grid)
    truth = (world(volume.grid)[..., 0] + 60) / 128
    assert np.abs(back - truth)[inside].max() < 1 / 128
    if pixel == 1:
        np.testing.assert_array_equal(back, to_native(ramp.transpose(2, 1, 0) * got.brain, got.prepared, volume.grid))


def test_each_modality_comes_from_its_own_grid_in_one_step():
    reference = phantom((110, 116, 14), affine_of("LPS", (1, 1, 5), (110, 116, 14)))
    shape = (60, 80, 60)
    flair = phantom(shape, affine_of("ASL", (1.5, 1.2, 2), shape, (8, -4, 3)), phase=0.5)
    got = prepare_volumes({"FLAIR": flair, "T1": reference}, matrix=96)
    assert (got.modalities, got.reference) == (("T1", "FLAIR"), "T1")
    points = world(got.prepared)
    deep = (((points - CENTRE) / [26, 34, 20]) ** 2).sum(-1) < 1
    values = got.images[1].transpose(2, 1, 0) * got.intensity["FLAIR"].scale
    assert np.abs(values - tissue(points, 0.5))[deep].max() < 4
    assert np.corrcoef(values[deep], tissue(points, 0.5)[deep])[0, 1] > 0.998


@pytest.mark.parametrize(
    ("given", "reference"),
    [("T1 T1C", "T1"), ("T1C T2", "T1C"), ("ADC DWI FLAIR", "FLAIR"), ("ADC DWI", "DWI"), ("PD SWI", "PD")],
)
def test_reference_is_the_first_that_is_there(given, reference):
    shape = (36, 40, 12)
    volume = phantom(shape, affine_of("LPS", (3, 3, 6), shape))
    volumes = {m: volume if m != "ADC" else Volume(volume.data * 8e-6, volume.affine) for m in given.split()}
    assert prepare_volumes(volumes, matrix=48, inplane_mm=3).reference == reference


def test_lesion_on_another_grid_lands_in_its_place():
    volume = phantom((110, 116, 14), affine_of("LPS", (1, 1, 5), (110, 116, 14)))
    shape = (50, 50, 40)
    affine = affine_of("RAS", (2, 2, 2), shape)
    distance = np.linalg.norm(world(Grid(shape, affine)) - beside(10, 5, 0), axis=-1)
    got = prepare_volumes({"T1": volume}, matrix=96, lesion=Volume((distance < 8).astype(np.float32) * 4, affine))
    points = world(got.prepared)[got.lesion.transpose(2, 1, 0)]
    np.testing.assert_allclose(points.mean(0), beside(10, 5, 0), atol=1)
    assert 0.7 < len(points) * 5 / (4 / 3 * np.pi * 8**3) < 1.3


def test_share_outside_counts_voxels():
    brain = np.ones((10, 10, 2), bool)
    move = np.eye(4)
    move[0, 3] = 3
    assert share_outside(brain, Grid((10, 10, 2), np.eye(4)), Grid((10, 10, 2), move)) == pytest.approx(0.3)
