"""Dynamic Feature Unification Module (DFUM): features of any number of sources become one set."""

from collections.abc import Sequence

import torch
from torch import nn

from pmmsynth.tensors import Features


class FeatureUnification(nn.Module):
    """Hard and soft integration over the sources, joined with the common features by a 1x1 convolution.

    Hard integration is the element-wise maximum, soft integration a sum weighted by attention that is a softmax
    over the sources, per channel and pixel. Neither depends on the number or order of the sources; with one source
    both are the identity.

    Args:
        channels: Channels of every feature map at this scale.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.join = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, common: Features, specific: Sequence[Features]) -> Features:
        sources = torch.stack(list(specific))  # source, batch, channel, height, width
        hard = sources.amax(0)
        weights = self.attention(sources.flatten(0, 1)).unflatten(0, sources.shape[:2]).softmax(0).to(sources.dtype)
        soft = (weights * sources).sum(0)
        joined: Features = self.join(torch.cat([common, hard, soft], 1))
        return joined
