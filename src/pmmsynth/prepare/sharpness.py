"""How sharp a sequence is in plane, and whether it is as sharp from left to right as from front to back."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MM = 1.0
"""Pixel size at which sharpness is measured, whatever the store's: the numbers compare across stores."""
MARGIN = 6
"""Pixels kept away from the edge of the brain, which is sharp in any sequence: a mask made it."""
STRONGEST = 0.05
"""Steps count up to this for the anisotropy, a fifth of the brain's mean: vessels do not decide."""
LEAST_PIXELS = 10_000
"""Sixteen slices of a brain have some 100 000 so far inside."""


def sharpness(slices: NDArray[np.float32], brain: NDArray[np.bool_]) -> dict[str, float]:
    """Two numbers from the steps between neighbouring pixels, well inside the brain; none where there is too little.

    `sharpness`: mean step over 1 mm by mean step over 2 mm. 0.5 for what changes evenly over 2 mm, so is smooth; 1 for
    uncorrelated noise. `anisotropy`: mean step from left to right by mean step from front to back. Far from 1 where a
    sequence was acquired in thick slices of another plane.

    Args:
        slices: (slice, row, column), axial, pixels of 1 mm, scaled to a brain mean of 0.25.
        brain: The same.
    """
    inside = ndimage.binary_erosion(brain & (slices > 0), np.ones((1, 3, 3)), iterations=MARGIN)
    down, across = (_steps(slices, inside, axis, 1) for axis in (1, 2))
    if min(down.size, across.size) < LEAST_PIXELS or not down.any() or not across.any():
        return {}
    ratios = [one.mean() / _steps(slices, inside, axis, 2).mean() for axis, one in ((1, down), (2, across))]
    anisotropy = np.minimum(across, STRONGEST).mean() / np.minimum(down, STRONGEST).mean()
    return {"sharpness": float(np.mean(ratios)), "anisotropy": float(anisotropy)}


def _steps(slices: NDArray[np.float32], inside: NDArray[np.bool_], axis: int, pixels: int) -> NDArray[np.float32]:
    """Absolute differences between pixels so far apart along an axis, both inside."""
    here, there = ([slice(None)] * 3 for _ in range(2))
    here[axis], there[axis] = slice(pixels, None), slice(None, -pixels)
    both = inside[*here] & inside[*there]
    return np.abs(slices[*here] - slices[*there])[both]
