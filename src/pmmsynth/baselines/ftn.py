"""FTN: a shared U-Net whose features a network of each dataset's own transforms (Zhou et al., MedIA 2023, FedFTN).

One source to one target, a pixel loss only, trained on all datasets together.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from pmmsynth.nets.generator import Architecture, Generator
from pmmsynth.tensors import DatasetId, Features, Images

SCALES = (1, 2, 4, 8, 16)
"""Channels at the five levels of the U-Net, in widths."""
HIDDEN = 128


class TransformationNetwork(nn.Module):
    """The network of one dataset: (source, target) to a scale and a shift for every channel of every level.

    Zero at the start, so that all datasets begin with the plain U-Net.

    Args:
        modalities: Number of modalities.
        channels: Of all levels together.
    """

    def __init__(self, modalities: int, channels: int) -> None:
        super().__init__()
        last = nn.Linear(HIDDEN, 2 * channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(
            nn.Linear(2 * modalities, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last
        )

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.mlp(code).float().chunk(2)
        return scale, shift


class FTN(Generator):
    """U-Net of two 3x3 convolutions a level; what each level gives is scaled and shifted by the dataset's network.

    Args:
        modalities: Number of modalities.
        datasets: Number of datasets; ids are below it.
        width: Channels of the first level (32).
    """

    def __init__(self, *, modalities: int, datasets: int, width: int = 32) -> None:
        super().__init__()
        sizes = [n * width for n in SCALES]
        self.modalities, self.sizes = modalities, [*sizes, *sizes[-2::-1]]
        self.down = nn.ModuleList(_level(n, m) for n, m in zip([1, *sizes[:-1]], sizes, strict=True))
        self.halve = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in sizes[-2::-1])
        self.up = nn.ModuleList(_level(2 * n, n) for n in sizes[-2::-1])
        self.image = nn.Conv2d(width, 1, 1)
        self.transform = nn.ModuleList(TransformationNetwork(modalities, sum(self.sizes)) for _ in range(datasets))

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`; height and width divisible by 16."""
        if len(sources) != 1:
            raise ValueError(f"FTN takes one source, not {len(sources)}")
        (source,) = sources
        outputs = torch.zeros_like(given)
        for target in targets:
            code = torch.zeros(2 * self.modalities, device=given.device)
            code[[source, self.modalities + target]] = 1.0
            made = self._unet(2 * given[:, source : source + 1] - 1, *self.transform[int(dataset)](code))
            outputs[:, target : target + 1] = (made.float().tanh() + 1) / 2
        return outputs

    def _unet(self, features: Features, scale: Tensor, shift: Tensor) -> Features:
        changes = list(zip(*(torch.split(each, self.sizes) for each in (scale, shift)), strict=True))
        skips: list[Features] = []
        for level, change in zip(self.down, changes, strict=False):
            features = _transformed(level(self.halve(features) if skips else features), *change)
            skips.append(features)
        below = skips[-2::-1]
        for rise, level, skip, change in zip(self.rise, self.up, below, changes[len(skips) :], strict=True):
            features = _transformed(level(torch.cat([rise(features), skip], 1)), *change)
        return self.image(features)


def _level(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [nn.Conv2d(n, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _transformed(features: Features, scale: Tensor, shift: Tensor) -> Features:
    return features * (1 + scale[:, None, None]) + shift[:, None, None]


class FTNArchitecture(Architecture):
    """The arguments of `FTN` besides the numbers of modalities and datasets."""

    width: int = Field(default=32, ge=1, le=1024)

    def build(self, *, modalities: int, datasets: int, matrix: int) -> FTN:
        """The network. Raises ValueError if the slices cannot be halved four times."""
        if matrix % 16:
            raise ValueError(f"FTN needs slices of a multiple of 16 pixels, not {matrix}")
        return FTN(modalities=modalities, datasets=datasets, **self.model_dump())
