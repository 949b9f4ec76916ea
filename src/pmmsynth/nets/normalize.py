"""Instance normalisation inside the head: statistics of a slice do not depend on how much of it is background."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pmmsynth.tensors import Features, Images, Mask, Scale

Inside = Mapping[int, Mask]
"""Where the head is, by the height of the features: at full, half and quarter size."""
EPSILON = 1e-5


def inside(given: Images) -> Inside:
    """Where any source is above 0, 1.0 or 0.0; a pixel of a smaller size is inside if any of its pixels is."""
    masks = [(given > 0).any(1, keepdim=True).float()]
    for _ in range(2):
        masks.append(F.max_pool2d(masks[-1], 2))
    return {mask.shape[-2]: mask for mask in masks}


def instance_norm(features: Features, mask: Mask, weight: Scale, bias: Scale) -> Features:
    """(F - mean) / std * weight + bias inside, mean and std of each slice and channel there; 0 outside."""
    wide = features.float()
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)  # a slice without head has no statistics, and comes out as 0
    centred = wide - (wide * mask).sum((2, 3), keepdim=True) / count
    variance = (centred.square() * mask).sum((2, 3), keepdim=True) / count
    scale = torch.rsqrt(variance + EPSILON) * per_channel(weight)
    normal: Tensor = (centred * scale + per_channel(bias)) * mask
    return normal.to(features.dtype)


def per_channel(values: Scale) -> Tensor:
    """One value per channel, as it multiplies features."""
    return values[:, None, None]
