"""Dice, distance and volume of masks whose numbers are known by hand; empty regions."""

import math

import numpy as np
import pytest

from pmmsynth.segment.overlap import Overlap, overlap

SPACING = (4.0, 2.0, 1.0)  # slice, row, column


def box(rows: slice, columns: slice, slices: slice = slice(1, 3)) -> np.ndarray:
    mask = np.zeros((4, 12, 12), bool)
    mask[slices, rows, columns] = True
    return mask


def test_dice_and_volumes_by_hand():
    """Two slices of 4x4 and of 4x6 that share 4x2: Dice 2 * 16 / (32 + 48)."""
    found, truth = box(slice(2, 6), slice(1, 5)), box(slice(2, 6), slice(3, 9))
    result = overlap(found, truth, SPACING)
    assert result.dice == pytest.approx(2 * 16 / (32 + 48))
    assert (result.volume_ml, result.truth_ml) == (pytest.approx(32 * 0.008), pytest.approx(48 * 0.008))


@pytest.mark.parametrize(("axis", "mm"), [(0, 4.0), (1, 2.0), (2, 1.0)])
def test_the_distance_of_single_voxels_is_in_millimetres(axis, mm):
    found, truth = np.zeros((2, 6, 8, 8), bool)
    place = [2, 3, 3]
    found[tuple(place)] = True
    place[axis] += 3
    truth[tuple(place)] = True
    assert overlap(found, truth, SPACING).hd95_mm == pytest.approx(3 * mm)


def test_the_distance_is_the_95th_percentile():
    """One stray voxel among 200 on the surface does not count; the plain Hausdorff distance would be 10."""
    truth = np.zeros((3, 8, 300), bool)
    truth[1, 3, 20:220] = True
    found = truth.copy()
    found[1, 3, 230] = True
    assert overlap(found, truth, (1, 1, 1)).hd95_mm == 0
    found[1, 3, 231:260] = True  # now 30 of 230 are astray: 11 to 40 mm away, the 95th percentile of them all is 29
    away = np.concatenate([np.zeros(200), np.arange(11, 41)])
    assert overlap(found, truth, (1, 1, 1)).hd95_mm == pytest.approx(np.percentile(away, 95), abs=0.5)


def test_equal_masks_and_strangers():
    mask = box(slice(2, 6), slice(1, 5))
    assert overlap(mask, mask, SPACING) == Overlap(1.0, 0.0, 32 * 0.008, 32 * 0.008)
    assert overlap(mask, box(slice(8, 10), slice(8, 10)), SPACING).dice == 0


def test_empty_regions():
    nothing, something = np.zeros((4, 12, 12), bool), box(slice(2, 6), slice(1, 5))
    assert overlap(nothing, nothing, SPACING) == Overlap(1.0, 0.0, 0.0, 0.0)
    volume = pytest.approx(32 * math.prod(SPACING) / 1000)
    for found, truth in ((nothing, something), (something, nothing)):
        result = overlap(found, truth, SPACING)
        assert (result.dice, result.hd95_mm) == (0.0, None)
        assert max(result.volume_ml, result.truth_ml) == volume


def test_order_of_the_two_does_not_matter_for_dice_and_distance():
    found, truth = np.random.default_rng(0).random((2, 4, 12, 12)) > 0.7
    there, back = overlap(found, truth, SPACING), overlap(truth, found, SPACING)
    assert (there.dice, there.hd95_mm) == pytest.approx((back.dice, back.hd95_mm))
    assert there.dice == pytest.approx(2 * (found & truth).sum() / (found.sum() + truth.sum()))
