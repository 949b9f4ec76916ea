"""One grid onto another by world coordinates, in one interpolation; an exact copy where voxels coincide."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.volume import Grid

ALIGNED = 1e-3
"""Voxel centres closer than this share of a voxel coincide."""


def resample(data: NDArray[np.float32], source: Grid, target: Grid, order: int = 1) -> NDArray[np.float32]:
    """Values of `data` at the voxel centres of `target`; 0 outside the field of view of `source`.

    Args:
        data: Voxels on `source`.
        source: Grid of `data`.
        target: Grid wanted.
        order: 1 linear, smoothed first along the axes that lose resolution; 0 nearest (masks).
    """
    index = np.linalg.inv(source.affine) @ target.affine  # target voxel -> source voxel
    index[np.abs(index) < 1e-9] = 0
    whole = np.rint(index)
    error = np.abs(index - whole)[:3] @ np.array([*target.shape, 1.0])
    if (error < ALIGNED).all() and _is_signed_permutation(whole[:3, :3]):
        return _copied(data, whole.astype(int), target.shape)
    return interpolated(data, index, target.shape, order)


def interpolated(
    data: NDArray[np.float32], index: NDArray[np.float64], shape: tuple[int, int, int], order: int
) -> NDArray[np.float32]:
    """`resample` for any map from target to source voxels."""
    if order > 0:
        factor = np.linalg.norm(index[:3, :3], axis=1)  # source voxels per target voxel, along each source axis
        sigma = np.where(factor > 1.01, np.sqrt(np.maximum(factor**2 - 1, 0)) / 2.355, 0)
        if sigma.any():
            reach = np.minimum((4 * sigma + 0.5).astype(int), data.shape)  # scipy's own, but never without end
            data = ndimage.gaussian_filter(data, sigma, mode="nearest", radius=reach.tolist())
    result = ndimage.affine_transform(
        data, index[:3, :3], index[:3, 3], output_shape=shape, order=order, mode="nearest", prefilter=False
    )
    steps = [np.arange(n).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(shape)]
    for row, size in zip(index[:3], data.shape, strict=True):
        terms = [r * s for r, s in zip(row[:3], steps, strict=True) if r]  # broadcasts: one axis, when aligned
        at = sum(terms, np.full((1, 1, 1), row[3]))
        result *= (at > -0.5 - 1e-6) & (at < size - 0.5 + 1e-6)
    return result


def _is_signed_permutation(matrix: NDArray[np.float64]) -> bool:
    ones = np.abs(matrix)
    return bool((ones.sum(0) == 1).all() and (ones.sum(1) == 1).all() and (ones.max(0) == 1).all())


def _copied(data: NDArray[np.float32], index: NDArray[np.int_], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Transposed, flipped and shifted by whole voxels."""
    moved = data.transpose([int(np.flatnonzero(index[:3, j])[0]) for j in range(3)])
    take, put = [], []
    for j, (size, wanted) in enumerate(zip(moved.shape, shape, strict=True)):
        axis = int(np.flatnonzero(index[:3, j])[0])
        start = int(index[axis, 3])
        if index[axis, j] < 0:
            moved, start = np.flip(moved, j), size - 1 - start
        low = max(0, -start)
        high = max(low, min(wanted, size - start))
        put.append(slice(low, high))
        take.append(slice(low + start, high + start))
    result = np.zeros(shape, data.dtype)
    result[tuple(put)] = moved[tuple(take)]
    return result
