"""Whole-voxel maps are exact copies and agree with interpolation; loss of resolution is smoothed first."""

import time
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmmsynth.prepare.resample import interpolated, resample
from pmmsynth.volume import Grid

SIZES = st.tuples(*[st.integers(2, 7)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    SIZES,
    st.sampled_from(list(permutations(range(3)))),
    st.tuples(*[st.sampled_from((-1, 1))] * 3),
    st.tuples(*[st.integers(-4, 8)] * 3),
)
def test_a_whole_voxel_map_is_what_interpolation_gives(shape, target, order, signs, shift):
    data = np.random.default_rng(0).random(shape, dtype=np.float32)
    index = np.zeros((4, 4))
    index[order, range(3)] = signs
    index[:3, 3] = shift
    index[3, 3] = 1
    base = np.array([[0.8, 0.3, 0, 5], [-0.3, 0.8, 0, -9], [0, 0, 2, 1], [0, 0, 0, 1.0]])
    copied = resample(data, Grid(shape, base), Grid(target, base @ index))
    np.testing.assert_allclose(copied, interpolated(data, index, target, 1), atol=1e-6)


def test_linear_interpolation_of_a_ramp_is_exact_and_zero_outside():
    source = Grid((10, 4, 4), np.eye(4))
    ramp = np.broadcast_to(np.arange(10, dtype=np.float32)[:, None, None] + 1, source.shape).copy()
    move = np.eye(4)
    move[0, 3] = 6.25
    out = resample(ramp, source, Grid((6, 4, 4), move))
    np.testing.assert_allclose(out[:, 0, 0], [7.25, 8.25, 9.25, 10, 0, 0], rtol=1e-6)  # field of view ends at 9.5


def test_coarser_voxels_are_averages_not_samples():
    stripes = np.zeros((40, 4, 4), np.float32)
    stripes[::2] = 1
    coarse = resample(stripes, Grid(stripes.shape, np.eye(4)), Grid((10, 4, 4), np.diag([4.0, 1, 1, 1])))
    np.testing.assert_allclose(coarse[2:-2], 0.5, atol=0.02)


def test_masks_stay_masks():
    mask = (np.random.default_rng(1).random((9, 9, 9)) > 0.5).astype(np.float32)
    out = resample(mask, Grid(mask.shape, np.eye(4)), Grid((12, 12, 12), np.diag([0.7, 0.7, 0.7, 1])), order=0)
    assert set(np.unique(out)) == {0.0, 1.0}


def test_voxels_without_number_in_one_take_no_time():
    data = np.random.default_rng(0).random((60, 60, 60), dtype=np.float32)
    began = time.process_time()
    out = resample(data, Grid(data.shape, np.diag([1e-3, 1e-3, 1e-3, 1])), Grid((2, 2, 2), np.diag([6.0, 6, 6, 1])))
    assert time.process_time() - began < 1  # in full, the filter alone takes seconds
    assert out[0, 0, 0] == pytest.approx(0.5, abs=0.05)
    assert np.count_nonzero(out) == 1
