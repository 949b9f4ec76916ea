"""MM-Synth: an encoder per modality, the maximum of their latents, a decoder per modality (Chartsias et al., TMI 2018).

Any sources to any targets, no adversary; trained with all modalities given, each from all others and from each of them.
"""

from collections.abc import Sequence
from functools import reduce
from typing import cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pmmsynth.baselines.rectify import rectified
from pmmsynth.data import Batch, Condition
from pmmsynth.losses import synthesis_loss
from pmmsynth.nets.fuse import channels_last
from pmmsynth.nets.generator import Architecture, Generator, channels
from pmmsynth.objective import Objective
from pmmsynth.tensors import Available, DatasetId, Features, Image, Images

SLOPE = 0.3
"""Of the leaky ReLU."""
VARIANCE = 10.0
"""Weight of the variance of the latents: 1 on images of mean 1; ours have about 0.1, and squares shrink with theirs."""


class Encoder(nn.Module):
    """One modality to its latent: a small U-Net of 3x3 convolutions without normalisation.

    Args:
        width: Channels at full size; twice and four times as many below.
        latent: Channels of the latent.
    """

    def __init__(self, *, width: int, latent: int) -> None:
        super().__init__()
        self.down = nn.ModuleList((_pair(1, width), _pair(width, 2 * width), _pair(2 * width, 4 * width)))
        self.halve = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(nn.Conv2d(2 * n * width, n * width, 3, padding=1) for n in (2, 1))
        self.up = nn.ModuleList(_pair(2 * n * width, n * width) for n in (2, 1))
        self.last = nn.Sequential(nn.Conv2d(width, latent, 3, padding=1), nn.LeakyReLU(SLOPE))

    def forward(self, image: Image) -> Features:
        full = self.down[0](image)
        half = self.down[1](self.halve(full))
        features = self.down[2](self.halve(half))
        for rise, up, skip in zip(self.rise, self.up, (half, full), strict=True):
            features = up(torch.cat([rise(F.interpolate(features, scale_factor=2.0)), skip], 1))
        latent: Features = self.last(features)
        return latent


class Decoder(nn.Module):
    """A latent to one modality: two pairs of 3x3 convolutions, each beside what went into it; never negative.

    Args:
        width: Channels.
        latent: Channels of the latent.
    """

    def __init__(self, *, width: int, latent: int) -> None:
        super().__init__()
        self.first = _pair(latent, width, slope=0.0)
        self.second = _pair(width + latent, width, slope=0.0)
        self.image = nn.Conv2d(2 * width + latent, 1, 1)

    def forward(self, latent: Features) -> Image:
        features = torch.cat([self.first(latent), latent], 1)
        features = torch.cat([self.second(features), features], 1)
        return rectified(self.image(features))


class MMSynth(Generator):
    """Encoders of the sources, the element-wise maximum of their latents, decoders of the targets.

    Args:
        modalities: Number of modalities.
        width: Channels of encoders at full size and of decoders (32).
        latent: Channels of the latents (16).
    """

    def __init__(self, *, modalities: int, width: int = 32, latent: int = 16) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Encoder(width=width, latent=latent) for _ in range(modalities))
        self.decoders = nn.ModuleList(Decoder(width=width, latent=latent) for _ in range(modalities))
        self.apply(_initialize)
        channels_last(self)

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`; the dataset has no influence."""
        return self.decode(reduce(torch.maximum, self.encode(given, sources)), given, targets)

    def encode(self, given: Images, sources: Sequence[int]) -> list[Features]:
        """The latent of each source."""
        return [self.encoders[i](given[:, i : i + 1]) for i in sources]

    def decode(self, latent: Features, like: Images, targets: Sequence[int]) -> Images:
        """The targets from a latent; zeros elsewhere, as many images as `like`."""
        outputs = torch.zeros_like(like)
        for i in targets:
            outputs[:, i : i + 1] = self.decoders[i](latent)
        return outputs

    def every(
        self, images: Images, sources: Available, targets: Available
    ) -> tuple[list[tuple[Images, Available]], Tensor]:
        """What training looks at: each target from all other sources together and from each one, never from itself.

        One that is the only source is made from itself.

        Returns:
            Images, and which of them were made: first from the maximum of the latents of all others, then from the
            latent of one source after the other. The variance of the latents over the sources, averaged over all
            entries.
        """
        given = torch.where(sources.to(images.device)[:, None, None], images, 0.0)
        latents = dict(zip(channels(sources), self.encode(given, channels(sources)), strict=True))
        fused = torch.zeros_like(given)
        for i in channels(targets):
            seen = [latent for j, latent in latents.items() if j != i] or [latents[i]]
            fused[:, i : i + 1] = self.decoders[i](reduce(torch.maximum, seen))
        found = [(fused, targets)]
        for j, latent in latents.items():
            others = targets.clone()
            others[j] = False
            found.append((self.decode(latent, given, channels(others)), others))
        return found, torch.stack(list(latents.values())).float().var(0, correction=0).mean()


class MMSynthArchitecture(Architecture):
    """The arguments of `MMSynth` besides the number of modalities."""

    width: int = Field(default=32, ge=1, le=1024)
    latent: int = Field(default=16, ge=1, le=1024)

    def build(self, *, modalities: int, datasets: int, matrix: int) -> MMSynth:
        """The network; it takes any number of datasets and any size of slices."""
        return MMSynth(modalities=modalities, **self.model_dump())


class EveryLatent(Objective):
    """All modalities given and wanted; L1 of what all others and each other make of each, and the latents' variance."""

    def draw(self, available: Available, random: np.random.Generator, share: float) -> Condition:
        """Everything from everything."""
        return Condition(available, available)

    def generator_loss(
        self, generator: nn.Module, adversary: nn.Module | None, batch: Batch, condition: Condition
    ) -> tuple[Images, dict[str, Tensor]]:
        """Each modality from the fused latent of the others, and the losses."""
        found, variance = cast(MMSynth, generator).every(batch.images, condition.sources, condition.targets)
        nothing = torch.zeros_like(condition.targets)
        pixels = sum(
            (synthesis_loss(made.float(), batch.images, nothing, which) for made, which in found),
            start=torch.zeros(()),
        )
        total = self.weights.synthesis * pixels + VARIANCE * variance
        return found[0][0], {"generator": total, "synthesis": pixels, "variance": variance}


def _pair(inputs: int, outputs: int, *, slope: float = SLOPE) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [nn.Conv2d(n, outputs, 3, padding=1), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
