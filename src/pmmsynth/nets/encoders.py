"""Encoding streams: one common to all modalities, one specific to each, all of the same form."""

from torch import nn

from pmmsynth.nets.blocks import ConvBlock, ResidualBlock
from pmmsynth.nets.head import Inside
from pmmsynth.tensors import Embedding, Features


class EncodingStream(nn.Module):
    """7x7 at full size, 3x3 to half, 3x3 to a quarter, residual blocks; returns the features of all three scales.

    Args:
        inputs: 1 for a specific stream, the number of modalities for the common one.
        width: Channels c at full size; 2c at half, 4c at a quarter.
        residual_blocks: How many at the coarsest scale.
        embedding: Length of D_emb.
    """

    def __init__(self, inputs: int, *, width: int, residual_blocks: int, embedding: int) -> None:
        super().__init__()
        self.stem = ConvBlock(inputs, width, kernel=7, embedding=embedding, normalize=False)
        self.to_half = ConvBlock(width, 2 * width, stride=2, embedding=embedding)
        self.to_quarter = ConvBlock(2 * width, 4 * width, stride=2, embedding=embedding)
        self.residual = nn.ModuleList(ResidualBlock(4 * width, embedding=embedding) for _ in range(residual_blocks))

    def forward(self, images: Features, embedding: Embedding, inside: Inside) -> list[Features]:
        full = self.stem(images, embedding, inside.full)
        half = self.to_half(full, embedding, inside.half)
        quarter = self.to_quarter(half, embedding, inside.quarter)
        for block in self.residual:
            quarter = block(quarter, embedding, inside.quarter)
        return [full, half, quarter]
