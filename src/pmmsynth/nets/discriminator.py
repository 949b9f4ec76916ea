"""Discriminators: one PatchGAN per modality, each sees a single image (least squares, Eq. 8-9)."""

from torch import Tensor, nn

from pmmsynth.nets.fuse import channels_last
from pmmsynth.tensors import Image


class PatchDiscriminator(nn.Sequential):
    """PatchGAN with 70x70 pixels seen by each output: 4x4 convolutions, instance norm, leaky ReLU 0.2.

    Args:
        width: Channels after the first convolution; then two, four and eight times as many.
    """

    def __init__(self, *, width: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n, stride in ((1, 2), (2, 2), (4, 1)):
            layers += [
                nn.Conv2d(n * width, 2 * n * width, 4, stride, 1, bias=False),
                nn.InstanceNorm2d(2 * n * width),
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Discriminators(nn.Module):
    """Dis_i for every modality i; `forward` runs one of them.

    Args:
        modalities: How many.
        width: Channels after the first convolution (64 in PatchGAN).
    """

    def __init__(self, *, modalities: int, width: int = 64) -> None:
        super().__init__()
        self.streams = nn.ModuleList(PatchDiscriminator(width=width) for _ in range(modalities))
        channels_last(self)

    def forward(self, image: Image, modality: int) -> Tensor:
        """The patch map of one modality's images: towards 1 is real, towards 0 is synthesized."""
        patches: Tensor = self.streams[modality](image)
        return patches
