"""How training slices are varied: in place and size with their truth, and in the look of each sequence by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandAdjustContrast,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensityFixedMean,
)
from torch import Tensor
from torch.nn import functional

TURN, ZOOM, GAIN = np.deg2rad(15), 0.1, 0.1
"""Slices are mirrored, turned by up to 15 degrees, zoomed and brightened by up to 10 %."""


def vary(images: Tensor, truth: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror, turn and zoom each slice with its truth, and change the look of each of its sequences.

    Args:
        images: (slice, channel, row, column), [0, 1].
        truth: (slice, region, row, column), 0 or 1.
        random: Where chance comes from; nothing else does.

    Returns:
        The same shapes; images may leave [0, 1] a little.
    """
    images, truth = moved(images, truth, random)
    return relit(images, random), truth


def moved(images: Tensor, truth: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror, turn and zoom each slice with its truth."""
    count = len(images)
    angle = random.uniform(-TURN, TURN, count)
    zoom = random.uniform(1 - ZOOM, 1 + ZOOM, count)
    mirror = random.choice([-1.0, 1.0], count)
    zero = np.zeros(count)
    rows = [[mirror * zoom * np.cos(angle), -zoom * np.sin(angle), zero]]
    rows += [[mirror * zoom * np.sin(angle), zoom * np.cos(angle), zero]]
    theta = torch.from_numpy(np.array(rows).transpose(2, 0, 1)).float()
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, mode="bilinear", align_corners=False)
    return images, functional.grid_sample(truth, grid, mode="nearest", align_corners=False)


def relit(images: Tensor, random: np.random.Generator) -> Tensor:
    """Brightness of every sequence of every slice; of some noise, sharpness, contrast and gamma, as nnU-Net has it.

    A network that has seen a sequence blurred or of other contrast leans on it less. The background stays 0.
    """
    gain = torch.from_numpy(random.uniform(1 - GAIN, 1 + GAIN, (*images.shape[:2], 1, 1))).float()
    look = Compose(
        [
            RandGaussianNoise(prob=0.1, std=0.05),
            RandGaussianSmooth(sigma_x=(0.5, 1), sigma_y=(0.5, 1), prob=0.2),
            RandScaleIntensityFixedMean(prob=0.15, factors=0.25, preserve_range=True),
            RandAdjustContrast(prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    ).set_random_state(seed=int(random.integers(2**32)))
    with plain_tensors():
        single = [look(image) for image in (images * gain).flatten(0, 1).unsqueeze(1)]
    return torch.stack(single).view_as(images).masked_fill(images == 0, 0)


@contextmanager
def plain_tensors() -> Iterator[None]:
    """MONAI keeps no metadata meanwhile, which takes it most of the time."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
