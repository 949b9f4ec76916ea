"""PSNR (Eq. 10), SSIM (Eq. 11) and MAE under a named protocol; every printed number carries the protocol's id.

All protocols see the same slices (those with enough brain) of the [0, 1] data, 0 outside the brain. SSIM is
torchmetrics' (Gaussian window 11, sigma 1.5, biased covariance). Border rule: where a whole crop is scored, the five
outermost pixels, whose window leaves the image, do not count, as in scikit-image and in Wang's original; inside a
mask every pixel counts and the window sees the image reflected. Identical images have an infinite PSNR, which JSON
cannot hold and which would spoil a mean: it is reported as 100 dB, beyond what float16 data can resolve.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects
from torchmetrics.functional.image import structural_similarity_index_measure

from pmmsynth.store import PreparedCase

PROTOCOL = "paper-v1"
PROTOCOLS = {
    PROTOCOL: "squared error pooled over the case's slices, MAX = 1; SSIM per slice, averaged; whole crop, no mask",
    "slice-max": "PSNR and SSIM per slice with the true slice's maximum as range, averaged; whole crop, no mask",
    "brain": "inside the brain mask: squared error pooled, MAX = 1; mean of the SSIM map",
    "lesion": "the same inside the lesion mask",
    "lesion-shell": "the same in the brain within 5 mm of the lesion, outside it",
}
"""Every protocol id and what it says; `paper-v1` is the primary one."""

MAX_PSNR = 100.0
SHELL_MM = 5.0
BORDER = 5

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Measures:
    """What one protocol says about one synthesized volume; `n_slices` is how many slices it is based on."""

    psnr: float
    ssim: float
    mae: float
    n_slices: int


def psnr(truth: Image, made: Image, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB (Eq. 10), the squared error pooled over the whole array; at most 100.

    Example:
        >>> psnr(np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.1))
        20.0
    """
    return _psnr(_mean((np.asarray(truth, np.float32) - made) ** 2), peak)


def mae(truth: Image, made: Image) -> float:
    """Mean absolute error over the whole array."""
    return _mean(np.abs(np.asarray(truth, np.float32) - made))


def ssim(truth: Image, made: Image) -> float:
    """Structural similarity (Eq. 11) of (slice, row, column) arrays, range 1, averaged over slices."""
    return _mean(_inner(ssim_map(truth, made)))


def ssim_map(truth: Image, made: Image) -> NDArray[np.float32]:
    """The SSIM of every pixel, range 1, each slice on its own."""
    # Slices go in as channels: the same map as a batch of single-channel slices, seven times faster on a CPU.
    x, y = (torch.from_numpy(np.array(image, np.float32))[None] for image in (made, truth))
    _, full = structural_similarity_index_measure(
        x, y, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0, return_full_image=True
    )
    return full[0].numpy()


def regions(case: PreparedCase) -> dict[str, Mask]:
    """The masks of the masked protocols on the case's scored slices; empty ones are left out."""
    brain = np.asarray(case.brain())
    lesion = np.asarray(case.lesion()) & brain
    spacing = case.record.prepared.grid().spacing[::-1]  # of slice, row, column
    masks = {"brain": brain, "lesion": lesion, "lesion-shell": shell(lesion, brain, spacing)}
    scored = case.scored_slices()
    return {name: mask[scored] for name, mask in masks.items() if mask[scored].any()}


def shell(lesion: Mask, brain: Mask, spacing: NDArray[np.floating], width: float = SHELL_MM) -> Mask:
    """Brain voxels outside the lesion whose centre lies within `width` mm of a lesion voxel's centre."""
    result = np.zeros_like(lesion)
    if lesion.any():
        reach = np.ceil(width / spacing).astype(int)
        found = find_objects(lesion.astype(np.uint8))[0]
        box = tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(found, reach, strict=True))
        near = distance_transform_edt(~lesion[box], sampling=tuple(spacing)) <= width + 1e-6
        result[box] = near & ~lesion[box] & brain[box]
    return result


def measure(truth: Image, made: Image, masks: Mapping[str, Mask]) -> dict[str, Measures]:
    """All protocols at once for one synthesized volume.

    Args:
        truth: (slice, row, column) of the scored slices.
        made: The same shape, already clipped and masked by the brain.
        masks: From `regions`.
    """
    truth, made = np.asarray(truth, np.float32), np.asarray(made, np.float32)
    squared, absolute, similarity = (made - truth) ** 2, np.abs(made - truth), ssim_map(truth, made)
    whole = Measures(_psnr(_mean(squared)), _mean(_inner(similarity)), _mean(absolute), len(truth))
    found = {PROTOCOL: whole} | _slice_max(truth, made, squared, absolute)
    for name, mask in masks.items():
        inside = (_mean(values[mask]) for values in (squared, similarity, absolute))
        error, likeness, deviation = inside
        found[name] = Measures(_psnr(error), likeness, deviation, int(mask.any(axis=(1, 2)).sum()))
    return found


def _slice_max(truth: Image, made: Image, squared: Image, absolute: Image) -> dict[str, Measures]:
    """The literal reading of Eq. 10; an empty true slice (the sequence covers less than the brain) has no range."""
    peaks = truth.max(axis=(1, 2))
    kept = np.flatnonzero(peaks > 0)
    if not kept.size:
        return {}
    scale = peaks[kept, None, None]
    decibels = [_psnr(_mean(squared[i]), float(peaks[i])) for i in kept]
    likeness = _mean(_inner(ssim_map(truth[kept] / scale, made[kept] / scale)))  # a range of 1 after scaling
    return {"slice-max": Measures(_mean(np.array(decibels)), likeness, _mean(absolute[kept]), len(kept))}


def _psnr(mean_squared_error: float, peak: float = 1.0) -> float:
    if mean_squared_error <= peak**2 * 10 ** (-MAX_PSNR / 10):
        return MAX_PSNR
    return float(10 * np.log10(peak**2 / mean_squared_error))


def _inner(similarity: Image) -> Image:
    return similarity[..., BORDER:-BORDER, BORDER:-BORDER]


def _mean(values: Image) -> float:
    return float(values.mean(dtype=np.float64))
