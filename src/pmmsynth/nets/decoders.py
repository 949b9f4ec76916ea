"""Decoding streams: one per modality, from the unified features of three scales to an image."""

import torch
from torch import nn
from torch.nn import functional as F

from pmmsynth.nets.blocks import ConvBlock, ResidualBlock
from pmmsynth.nets.head import Inside
from pmmsynth.tensors import Embedding, Features, Image


class DecodingStream(nn.Module):
    """Residual blocks, then twice: double the size, join the skip of that scale; a 7x7 convolution to one image.

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
        self.join_full = ConvBlock(2 * width, width, embedding=embedding, normalize=False)
        self.image = nn.Conv2d(width, 1, 7, padding=3)
        with torch.no_grad():  # a small correction of the shortcut to begin with
            for parameter in self.image.parameters():
                parameter.mul_(0.1)

    def forward(self, unified: list[Features], embedding: Embedding, inside: Inside) -> Image:
        full, half, features = unified
        for block in self.residual:
            features = block(features, embedding, inside.quarter)
        features = self.up_half(_double(features), embedding, inside.half)
        features = self.join_half(torch.cat([features, half], 1), embedding, inside.half)
        features = self.up_full(_double(features), embedding, inside.full)
        features = self.join_full(torch.cat([features, full], 1), embedding, inside.full)
        image: Image = self.image(features)
        return image


def _double(features: Features) -> Features:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")
