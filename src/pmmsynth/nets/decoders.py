"""Decoding streams: one per modality, from the unified features of three scales to an image."""

import torch
from torch import nn
from torch.nn import functional as F

from pmmsynth.nets.blocks import ConvBlock, ResidualBlock
from pmmsynth.tensors import Embedding, Features, Image

GATE_AT_START = -2.0
"""Its sigmoid, 0.12, is the share of the shortcut in the output before training."""


class DecodingStream(nn.Module):
    """Residual blocks, then twice: double the size, join the skip of that scale; a 7x7 convolution to image and gate.

    The gate says, pixel by pixel, how much of the output is the shortcut rather than the decoded image.

    Args:
        width: Channels c at full size.
        residual_blocks: How many at the coarsest scale.
        embedding: Length of D_emb.
    """

    def __init__(self, *, width: int, residual_blocks: int, embedding: int) -> None:
        super().__init__()
        self.residual = nn.ModuleList(ResidualBlock(4 * width, embedding=embedding) for _ in range(residual_blocks))
        self.up_half = ConvBlock(4 * width, 2 * width, embedding=embedding)
        self.join_half = ConvBlock(4 * width, 2 * width, embedding=embedding)
        self.up_full = ConvBlock(2 * width, width, embedding=embedding)
        self.join_full = ConvBlock(2 * width, width, embedding=embedding)
        self.image, self.gate = (nn.Conv2d(width, 1, 7, padding=3) for _ in range(2))
        assert self.gate.bias is not None
        nn.init.constant_(self.gate.bias, GATE_AT_START)

    def forward(self, unified: list[Features], embedding: Embedding, direct: Image) -> Image:
        """The image of this modality, float32.

        Args:
            unified: Features at full, half and a quarter of the size.
            embedding: D_emb.
            direct: What the shortcut makes of the sources.
        """
        full, half, features = unified
        for block in self.residual:
            features = block(features, embedding)
        features = self.up_half(_double(features), embedding)
        features = self.join_half(torch.cat([features, half], 1), embedding)
        features = self.up_full(_double(features), embedding)
        features = self.join_full(torch.cat([features, full], 1), embedding)
        share = self.gate(features).float().sigmoid()
        return share * direct + (1 - share) * self.image(features).float()


def _double(features: Features) -> Features:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")
