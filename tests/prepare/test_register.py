"""Known moves of phantoms come back; what cannot be found is told apart from what can."""

from dataclasses import replace

import numpy as np
import pytest
from prepare_phantoms import CENTRE, affine_of, beside, phantom, world
from scipy.spatial.transform import Rotation

from pmmsynth.errors import BadInput
from pmmsynth.prepare.register import drift, register
from pmmsynth.volume import Volume

SHAPE = (60, 64, 24)
AXES = np.array([33.0, 41.0, 26.0])


def head(codes="LPS", spacing=(2, 2, 4), shape=SHAPE, degrees=(0, 0, 0)) -> Volume:
    """A phantom with lumps, without which an ellipsoid could turn almost unseen."""
    volume = phantom(shape, affine_of(codes, spacing, shape, degrees), radii=AXES)
    points = world(volume.grid)
    data = volume.data.copy()
    for x, y, z, factor in ((16, 18, 6, 1.7), (-14, -20, -8, 0.5), (-15, 15, 10, 0.6), (10, -24, 4, 1.5)):
        data[(((points - beside(x, y, z)) / 9) ** 2).sum(-1) < 1] *= factor
    return replace(volume, data=data)


def other_contrast(volume: Volume) -> Volume:
    """Tissue falls where it rose: nothing that a difference or a correlation of grey values could use."""
    return replace(volume, data=np.where(volume.data > 0, 600 - 2 * volume.data, 0).astype(np.float32))


def move(degrees, mm) -> np.ndarray:
    """A turn about the phantom's centre, then a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + mm
    return matrix


def distance(matrix: np.ndarray, volume: Volume) -> float:
    """How far a matrix moves the voxels of the phantom, in mm, mean."""
    points = np.argwhere(volume.data > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return float(np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - points, axis=1).mean())


FIXED = head()
BRAIN = FIXED.data > 0
MOVES = {
    "stays": ((0, 0, 0), (0, 0, 0)),
    "turns": ((12, -8, 10), (0, 0, 0)),
    "shifts": ((0, 0, 0), (14, -9, 10)),
    "both": ((-7, 11, 6), (-12, 10, 8)),
}


@pytest.mark.parametrize("kind", MOVES)
def test_a_known_move_is_undone(kind):
    known = move(*MOVES[kind])
    scanned = other_contrast(head("RAI", (1.5, 1.5, 3), (80, 84, 30), (3, -2, 5)))
    moved = replace(scanned, affine=known @ scanned.affine)
    found = register(moved, FIXED, BRAIN)
    assert distance(found.matrix @ known, FIXED) < 0.5
    assert np.rad2deg(Rotation.from_matrix((found.matrix @ known)[:3, :3]).magnitude()) < 2  # of few, smooth slices
    assert found.moved == pytest.approx(distance(np.linalg.inv(found.matrix), FIXED), abs=0.1)
    assert found.doubt < 1
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-9), "rigid"
    back = found.apply(moved)
    assert back.data is moved.data, "no voxel is touched"
    assert distance(back.affine @ np.linalg.inv(scanned.affine), FIXED) < 0.5


def test_the_same_input_gives_the_same_result():
    moved = replace(FIXED, affine=move((5, 0, 0), (3, 3, 3)) @ FIXED.affine)
    one, other = (register(moved, FIXED, BRAIN) for _ in range(2))
    assert np.array_equal(one.matrix, other.matrix)
    assert (one.information, one.doubt) == (other.information, other.doubt)


def test_drift_is_how_far_the_header_is_off():
    same = other_contrast(FIXED)
    assert drift(same, FIXED, BRAIN) < 1
    off = replace(same, affine=move((0, 0, 0), (6, 0, 0)) @ same.affine)
    assert drift(off, FIXED, BRAIN) == pytest.approx(6, abs=1)


def test_noise_has_little_information():
    noise = replace(FIXED, data=np.random.default_rng(0).random(SHAPE, np.float32))
    assert register(noise, FIXED, BRAIN).information < 0.2 < register(other_contrast(FIXED), FIXED, BRAIN).information


def test_a_black_image_is_refused():
    with pytest.raises(BadInput, match="no voxel above 0"):
        register(replace(FIXED, data=np.zeros(SHAPE, np.float32)), FIXED, BRAIN)


@pytest.mark.parametrize(("slices", "mm"), [(3, 5), (1, 5), (4, 1)])
def test_a_partial_series_of_few_slices_is_registered_too(slices, mm):
    """It cannot be smoothed along so few; a sequence that fits badly is for the measure of doubt to say."""
    scanned = other_contrast(head(spacing=(1.5, 1.5, mm), shape=(80, 84, slices)))
    found = register(scanned, FIXED, BRAIN)
    assert np.isfinite(found.matrix).all()
    assert np.isfinite(found.doubt)
