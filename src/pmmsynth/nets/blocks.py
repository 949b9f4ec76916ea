"""The convolutional block every stream is built of: convolution, normalisation, modulation (PFM, Eq. 3), ReLU."""

from torch import nn

from pmmsynth.nets.modulation import Modulation
from pmmsynth.nets.normalize import Finish
from pmmsynth.tensors import Embedding, Features, Mask


class ConvBlock(nn.Module):
    """Convolution, instance normalisation inside the head, modulation by the dataset (Eq. 2-3), ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Odd kernel size; the size is kept (before the stride) by zeros.
        stride: 1, or 2 to halve the size.
        embedding: Length of D_emb.
        activate: False leaves the ReLU out (before a residual sum).
        normalize: False leaves the normalisation out, so that absolute intensities pass (at full size).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        embedding: int,
        activate: bool = True,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        # no bias: the normalisation would remove it, and beta is one
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.modulation = Modulation(outputs, embedding=embedding)
        self.finish = Finish(normalize=normalize, activate=activate)

    def forward(self, features: Features, embedding: Embedding, inside: Mask) -> Features:
        gamma, beta = self.modulation(embedding)
        features = self.convolution(features)
        finished: Features = self.finish(features, inside, gamma, beta)
        return finished


class ResidualBlock(nn.Module):
    """Two 3x3 convolutional blocks and the identity; no activation after the sum."""

    def __init__(self, channels: int, *, embedding: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, embedding=embedding)
        self.second = ConvBlock(channels, channels, embedding=embedding, activate=False)

    def forward(self, features: Features, embedding: Embedding, inside: Mask) -> Features:
        return features + self.second(self.first(features, embedding, inside), embedding, inside)
