"""Dynamic Feature Unification Module (DFUM): features of any number of sources become one set."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import nn

from pmmsynth.nets.fuse import Fused
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
        self.integrate = Integration()
        self.join = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, common: Features, specific: Sequence[Features]) -> Features:
        hard = soft = specific[0]
        if len(specific) > 1:
            hard, soft = self.integrate([self.attention(source) for source in specific], specific)
        joined: Features = self.join(torch.cat([common, hard, soft], 1))
        return joined


class Integration(Fused):
    """Hard and soft integration."""

    def forward(self, logits: Sequence[Features], sources: Sequence[Features]) -> tuple[Features, Features]:
        """The element-wise maximum over the sources, and their sum weighted by the softmax of the logits."""
        highest = reduce(torch.maximum, logits).detach().float()
        weights = [(logit.float() - highest).exp() for logit in logits]
        weighted = [weight * source for weight, source in zip(weights, sources, strict=True)]
        soft = reduce(torch.add, weighted) / reduce(torch.add, weights)
        return reduce(torch.maximum, sources), soft.to(sources[0].dtype)
