"""What ResViT and pFLSynth share: a residual encoder and decoder, and a PatchGAN, normalised slice by slice."""

from torch import Tensor, nn

from pmmsynth.tensors import Features, Images


def normalize(channels: int) -> nn.InstanceNorm2d:
    """What batch normalisation is in the papers, with batches of one: every slice by its own statistics."""
    return nn.InstanceNorm2d(channels, affine=True)


class Stage(nn.Sequential):
    """A convolution, normalisation, ReLU.

    Args:
        convolution: Without bias.
        before: Padding in front of it.
    """

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, *before: nn.Module) -> None:
        super().__init__(*before, convolution, normalize(convolution.out_channels), nn.ReLU())


def stem(inputs: int, width: int) -> Stage:
    """7x7 at full size."""
    return Stage(nn.Conv2d(inputs, width, 7, bias=False), nn.ReflectionPad2d(3))


def down(channels: int, outputs: int) -> Stage:
    """To half the size."""
    return Stage(nn.Conv2d(channels, outputs, 3, 2, 1, bias=False))


def up(channels: int, outputs: int) -> Stage:
    """To twice the size."""
    return Stage(nn.ConvTranspose2d(channels, outputs, 3, 2, 1, output_padding=1, bias=False))


def image(width: int, outputs: int) -> nn.Sequential:
    """7x7 to what `unsigned` makes images of."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7))


class Residual(nn.Module):
    """Two 3x3 convolutions and the identity; no activation after the sum.

    Args:
        channels: In and out.
        dropout: Between the convolutions.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Stage(nn.Conv2d(channels, channels, 3, bias=False), nn.ReflectionPad2d(1)),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            normalize(channels),
        )

    def forward(self, features: Features) -> Features:
        return features + self.layers(features)


class PatchGAN(nn.Sequential):
    """4x4 convolutions, 70x70 pixels seen by each output.

    Args:
        inputs: Channels in: what is judged beside what it was made from.
        width: Channels after the first convolution (64); then two, four and eight times as many.
    """

    def __init__(self, inputs: int, *, width: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n, stride in ((1, 2), (2, 2), (4, 1)):
            layers += [nn.Conv2d(n * width, 2 * n * width, 4, stride, 1, bias=False), normalize(2 * n * width)]
            layers += [nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        for module in self:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)


def signed(images: Images) -> Tensor:
    """[0, 1] to [-1, 1]; background, and so a missing modality, is -1."""
    return 2 * images - 1


def unsigned(images: Tensor) -> Tensor:
    """Through tanh to [-1, 1], then to [0, 1]."""
    return (images.float().tanh() + 1) / 2
