"""The brain mask of a skull-stripped volume, and the refusal of one that is not."""

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.errors import BadInput
from pmmsynth.volume import Volume

MOST_NEGATIVE = 0.2
"""Interpolation overshoots in a few percent of a brain, noise in an ADC map somewhat more; a z-score takes half."""
LARGEST_BRAIN_ML = 2600
"""Stripped volumes here measure 1100 to 1900 ml, the MNI brain 1900; heads with skull 2900 and more."""


class HasSkull(BadInput):
    """More than a brain is above 0."""


def brain_mask(volume: Volume, name: str) -> NDArray[np.bool_]:
    """Voxels above 0, specks removed, holes filled slice by slice.

    Args:
        volume: The reference, skull-stripped: background 0 (or below, from interpolation).
        name: What to call it in an error.

    Raises:
        HasSkull: If there is no background, or more tissue than any brain has.
        BadInput: If much of it is below 0, or next to nothing above.
    """
    place = str(volume.path or name)
    positive = volume.data > 0
    negative, zero = int((volume.data < 0).sum()), int((volume.data == 0).sum())
    if zero >= negative:  # else the background is below 0
        check_negative(place, negative / max(volume.data.size - zero, 1))
    share = float(positive.mean())
    remedy = "strip the skull first (HD-BET, SynthStrip)"
    if share > 0.9:
        raise HasSkull(
            f"{place}: no background ({share:.0%} of the voxels above 0), looks like a head with skull",
            "a skull-stripped volume, 0 outside the brain",
            remedy,
        )
    if share < 0.005:
        raise BadInput(
            f"{place}: next to empty ({share:.2%} of the voxels above 0)", "a brain", "check that the mask fits"
        )
    box = ndimage.find_objects(positive.astype(np.uint8))[0]
    mask = np.zeros_like(positive)
    mask[box] = _filled(_without_specks(positive[box]), volume.affine)
    ml = float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    if ml > LARGEST_BRAIN_ML:
        raise HasSkull(
            f"{place}: {ml:.0f} ml above 0, looks like a head with skull",
            f"a skull-stripped brain, at most {LARGEST_BRAIN_ML} ml",
            remedy,
        )
    return mask


def check_negative(place: str, share: float) -> None:
    """Refuse an image whose brain is below 0 in good part, as after a z-score: those voxels would all become 0."""
    if share > MOST_NEGATIVE:
        raise BadInput(
            f"{place}: {share:.0%} of the brain below 0, normalized before?",
            f"at most {MOST_NEGATIVE:.0%}",
            "take the image from before its intensities were normalized",
        )


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the connected parts of at least 1 % of the largest one."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= 0.01 * sizes.max())[labels] & mask


def _filled(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    slices = np.moveaxis(mask, int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0]), 0)
    for one in slices:
        one[...] = ndimage.binary_fill_holes(one)
    return mask
