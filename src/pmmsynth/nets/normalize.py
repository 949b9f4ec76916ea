"""What follows each convolution, as one pass over the features: normalisation inside the head, Eq. 3, ReLU."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pmmsynth.nets.fuse import Fused
from pmmsynth.tensors import Features, Mask, Scale

EPSILON = 1e-5


def instance_norm(features: Features, mask: Mask, weight: Scale, bias: Scale) -> Features:
    """(F - mean) / std * weight + bias inside, mean and std of each slice and channel there; 0 outside.

    Float32. Both sums are taken in one pass, E[F^2] - E[F]^2: the features are outputs of a convolution without
    bias, whose means are no larger than a few of their standard deviations.
    """
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)  # a slice without head has no statistics, and comes out as 0
    masked = features * mask
    mean = masked.sum((2, 3), keepdim=True) / count
    variance = ((masked * features).sum((2, 3), keepdim=True) / count - mean.square()).clamp(min=0)
    scale = torch.rsqrt(variance + EPSILON) * per_channel(weight)
    normal: Tensor = ((features - mean) * scale + per_channel(bias)) * mask
    return normal


class Finish(Fused):
    """The end of a convolutional block.

    Args:
        normalize: False leaves the normalisation out, and applies Eq. 3 everywhere.
        activate: False leaves the ReLU out.
    """

    def __init__(self, *, normalize: bool, activate: bool) -> None:
        super().__init__()
        self.normalize, self.activate = normalize, activate

    def forward(self, features: Features, mask: Mask, gamma: Scale, beta: Scale) -> Features:
        """F * (gamma + 1) + beta, computed in float32, in the precision of `features`."""
        wide = features.float()
        if self.normalize:  # Eq. 3 is the affine part of the normalisation
            wide = instance_norm(wide, mask, gamma + 1, beta)
        else:
            wide = wide * per_channel(gamma + 1) + per_channel(beta)  # Eq. 3
        return (F.relu(wide) if self.activate else wide).to(features.dtype)


def per_channel(values: Scale) -> Tensor:
    """One value per channel, as it multiplies features."""
    return values[:, None, None]
