"""The prepared grid: the reference's own axes turned to left, posterior, superior, cropped around the brain."""

import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from pmmsynth.prepare.resample import resample
from pmmsynth.volume import Grid

SAME_SPACING = 1e-3
"""In-plane spacing within this share of the wanted one is kept, so that voxels map one to one."""
LEAST_SHARE = 0.01
"""Of a voxel on the way back: with less of the brain it is next to none, and stays next to 0."""


def prepared_grid(
    native: Grid, brain: NDArray[np.bool_], *, matrix: int, inplane_mm: float, slice_mm: float | None
) -> Grid:
    """Where the prepared voxels of a case lie (axes L, P, S; nothing rotated).

    In plane `matrix` x `matrix` pixels of `inplane_mm`, centred on the box around the brain; all slices, at their
    native spacing or at `slice_mm` over the same extent.
    """
    turn = ornt_transform(io_orientation(native.affine), axcodes2ornt("LPS"))  # native axis -> (prepared axis, sign)
    to_index = np.zeros((4, 4))  # prepared voxel -> native voxel
    to_index[3, 3] = 1
    shape = [matrix, matrix, native.shape[0]]
    for axis, (position, sign) in enumerate(turn):
        place, size, spacing = int(position), native.shape[axis], float(native.spacing[axis])
        if place == 2:  # through plane
            wanted = slice_mm or spacing
            low, high = 0, size - 1
            count = size if abs(wanted / spacing - 1) < SAME_SPACING else max(1, round(size * spacing / wanted))
            shape[2] = count
        else:
            wanted, count = inplane_mm, matrix
            occupied = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
            low, high = int(occupied[0]), int(occupied[-1])
        step = 1.0 if abs(wanted / spacing - 1) < SAME_SPACING else wanted / spacing
        first = (low + high) / 2 - sign * step * (count - 1) / 2
        to_index[axis, place] = sign * step
        if step == 1.0:  # rounded to the same side of the patient, whichever way the file stores the axis
            first = np.floor(first) if sign > 0 else np.ceil(first)
        to_index[axis, 3] = first
    return Grid((shape[0], shape[1], shape[2]), native.affine @ to_index)


def on_prepared(data: NDArray[np.float32], source: Grid, prepared: Grid, order: int = 1) -> NDArray[np.float32]:
    """Resample onto the prepared grid, as (slice, row, column)."""
    return np.ascontiguousarray(resample(data, source, prepared, order).transpose(2, 1, 0))


def to_native(array: NDArray[np.floating], prepared: Grid, native: Grid) -> NDArray[np.float32]:
    """Back from (slice, row, column) onto the native grid; 0 outside the crop. Exact where voxels coincide."""
    return resample(array.astype(np.float32, copy=False).transpose(2, 1, 0), prepared, native)


def brain_to_native(
    stack: NDArray[np.floating], share: NDArray[np.float32], prepared: Grid, native: Grid
) -> NDArray[np.float32]:
    """As `to_native`, of values of the brain alone: means of those, with no part of the 0 around it.

    Args:
        stack: In [0, 1], 0 outside the brain.
        share: The brain's mask by `to_native`: how much of what a voxel is interpolated from lies in it.
        prepared: The grid of the stack.
        native: The grid to return to.
    """
    values = to_native(stack, prepared, native)
    np.divide(values, share, out=values, where=share > LEAST_SHARE)
    return np.minimum(values, 1, out=values)  # the division may round up


def share_outside(brain: NDArray[np.bool_], native: Grid, prepared: Grid) -> float:
    """Share of the brain's voxels that the prepared grid leaves out."""
    index = np.linalg.inv(prepared.affine) @ native.affine  # every native axis runs along one prepared axis
    kept = []
    for axis, size in enumerate(brain.shape):
        along = int(np.argmax(np.abs(index[:3, axis])))
        at = index[along, axis] * np.arange(size) + index[along, 3]
        kept.append((at > -0.5) & (at < prepared.shape[along] - 0.5))
    return float(1 - brain[np.ix_(*kept)].sum() / brain.sum())
