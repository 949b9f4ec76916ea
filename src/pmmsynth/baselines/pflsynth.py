"""pFLSynth: a residual generator personalized by dataset, source and target (Dalmaz et al., MedIA 2024).

One source to one target. Trained centrally, on all datasets together, not by federated averaging.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pmmsynth.baselines.residual import PatchGAN, Residual, down, image, signed, stem, unsigned, up
from pmmsynth.data import Batch, Condition
from pmmsynth.nets.generator import Architecture, Generator
from pmmsynth.objective import OneToOne
from pmmsynth.tensors import DatasetId, Features, Image, Images

BLOCKS = 9
LAYERS = 6
"""Of the mapper."""


class EqualizedLinear(nn.Module):
    """A linear layer whose weights are scaled when used, not when drawn.

    Args:
        inputs: Values in.
        outputs: Values out.
        gain: Of the layer, over the square root of its inputs.
        rate: Learning rate of the layer, over that of the rest.
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float = 1.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.rate = gain * rate / sqrt(inputs), rate

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight * self.scale, self.bias * self.rate)


class Personalization(nn.Module):
    """Instance normalisation with scale and shift of the latent, then a weight of the latent for every channel.

    Args:
        channels: In and out.
        latent: Length of the latent.
    """

    def __init__(self, channels: int, *, latent: int) -> None:
        super().__init__()
        self.style = EqualizedLinear(latent, 2 * channels)
        squeezed = max(channels // 8, 1)
        self.weights = nn.Sequential(
            nn.Linear(latent, squeezed, bias=False), nn.ReLU(), nn.Linear(squeezed, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, features: Features, latent: Tensor) -> Features:
        scale, shift = self.style(latent)[:, None, None].chunk(2)
        styled = F.instance_norm(features) * (1 + scale.float()) + shift
        weighted: Features = styled * self.weights(latent)[:, None, None]
        return weighted


class PFLSynth(Generator):
    """Residual encoder and decoder with a personalization block after every stage but the last.

    Args:
        modalities: Number of modalities.
        datasets: Number of datasets; ids are below it.
        width: Channels at full size (64).
        latent: Length of the latent (512).
    """

    def __init__(self, *, modalities: int, datasets: int, width: int = 64, latent: int = 512) -> None:
        super().__init__()
        self.modalities, self.datasets = modalities, datasets
        inputs = [datasets + 2 * modalities, *[latent] * (LAYERS - 1)]
        layers = [[EqualizedLinear(n, latent, gain=sqrt(2), rate=0.01), nn.LeakyReLU(0.2)] for n in inputs]
        self.mapper = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.stages = nn.ModuleList(
            (
                stem(1, width),
                down(width, 2 * width),
                down(2 * width, 4 * width),
                *(Residual(4 * width, dropout=0.5) for _ in range(BLOCKS)),
                up(4 * width, 2 * width),
                up(2 * width, width),
            )
        )
        sizes = [width, 2 * width, *[4 * width] * (BLOCKS + 1), 2 * width, width]
        self.personal = nn.ModuleList(Personalization(n, latent=latent) for n in sizes)
        self.image = image(width, 1)

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`, one pass per target. Raises ValueError for more than one source."""
        if len(sources) != 1:
            raise ValueError(f"pFLSynth takes one source, not {len(sources)}")
        (source,) = sources
        outputs = torch.zeros_like(given)
        for target in targets:
            made = self._network(given[:, source : source + 1], self.latent(dataset, source, target))
            outputs[:, target : target + 1] = made
        return outputs

    def latent(self, dataset: DatasetId, source: int, target: int) -> Tensor:
        """What personalizes the network."""
        code = torch.zeros(self.datasets + 2 * self.modalities, device=dataset.device)
        code[int(dataset)] = 1.0
        code[[self.datasets + source, self.datasets + self.modalities + target]] = 1.0
        latent: Tensor = self.mapper(code)
        return latent

    def _network(self, source: Image, latent: Tensor) -> Image:
        features = signed(source)
        for stage, personal in zip(self.stages, self.personal, strict=True):
            features = personal(stage(features), latent)
        return unsigned(self.image(features))


class PFLSynthArchitecture(Architecture):
    """The arguments of `PFLSynth` besides the numbers of modalities and datasets."""

    latent: int = Field(default=512, ge=1, le=4096)

    def build(self, *, modalities: int, datasets: int, matrix: int) -> PFLSynth:
        """The network; it takes any size of slices divisible by 4."""
        return PFLSynth(modalities=modalities, datasets=datasets, **self.model_dump())


class PairDiscriminators(nn.Module):
    """One PatchGAN per target modality, on the source beside the target.

    Args:
        modalities: Number of modalities.
        width: Channels after the first convolution (64).
    """

    def __init__(self, *, modalities: int, width: int = 64) -> None:
        super().__init__()
        self.streams = nn.ModuleList(PatchGAN(2, width=width) for _ in range(modalities))

    def forward(self, source: Image, target: Image, modality: int) -> Tensor:
        """The patch map of one target modality."""
        patches: Tensor = self.streams[modality](torch.cat([source, target], 1))
        return patches


class SourceBeside(OneToOne):
    """The adversary sees the target beside the source."""

    halved = True

    def judge(self, adversary: nn.Module, images: Images, batch: Batch, condition: Condition) -> Sequence[Tensor]:
        """The patch map of the target beside the true source."""
        (source,) = condition.sources.nonzero().flatten().tolist()
        given = batch.images[:, source : source + 1].repeat(len(images) // len(batch.images), 1, 1, 1)
        return [adversary(given, images[:, i : i + 1], i) for i in condition.synthesized]
