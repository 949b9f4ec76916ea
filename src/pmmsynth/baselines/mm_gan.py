"""MM-GAN: one U-Net from the stack of all modalities to the stack of all (Sharma & Hamarneh, TMI 2020).

Missing modalities are zeros; what is given replaces what was made before the adversary sees it (implicit
conditioning), and training goes from few missing modalities to many.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pmmsynth.baselines.rectify import rectified
from pmmsynth.data import Batch, Condition
from pmmsynth.data.condition import chosen
from pmmsynth.nets.generator import Architecture, Generator
from pmmsynth.objective import Objective
from pmmsynth.tensors import Available, DatasetId, Features, Images

CURRICULUM = ((1 / 6, 1), (1 / 3, 2), (1 / 2, 3))
"""Up to which share of all learning at most how many modalities are missing; later any number."""


class MMGAN(Generator):
    """The U-Net of pix2pix: 4x4 convolutions halve a slice down to one pixel, as many rise again; concatenated skips.

    Args:
        modalities: Number of modalities, in and out.
        side: Pixels per side that halve down to one, a power of two from 16 (256, of eight halvings); slices are padded
            to a multiple of it.
        width: Channels after the first convolution (64), eight times as many at most.
    """

    def __init__(self, *, modalities: int, side: int = 256, width: int = 64) -> None:
        super().__init__()
        self.side, depth = side, side.bit_length() - 1
        down = [modalities, *(min(2**level, 8) * width for level in range(depth))]
        self.down = nn.ModuleList(
            _Down(n, m, normalize=0 < level < depth - 1, dropout=level > 2)
            for level, (n, m) in enumerate(pairwise(down))
        )
        up = skips = down[-2:0:-1]
        inputs = [down[-1], *(n + m for n, m in zip(up, skips, strict=True))]
        self.up = nn.ModuleList(
            _Up(n, m, dropout=level < depth - 4) for level, (n, m) in enumerate(zip(inputs, up, strict=False))
        )
        self.image = nn.Conv2d(inputs[-1], modalities, 4, padding=1)
        self.apply(_initialize)

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`; the dataset has no influence."""
        height, width = given.shape[-2:]
        below, right = -height % self.side, -width % self.side
        top, left = below // 2, right // 2
        padded = F.pad(given, (left, right - left, top, below - top))
        made = self._unet(padded)[..., top : top + height, left : left + width]
        outputs = torch.zeros_like(given)
        outputs[:, list(targets)] = made[:, list(targets)].to(outputs.dtype)
        return outputs

    def _unet(self, images: Images) -> Images:
        skips: list[Features] = []
        features = images
        for down in self.down:
            features = down(features)
            skips.append(features)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            features = torch.cat([up(features), skip], 1)
        features = F.pad(F.interpolate(features, scale_factor=2.0), (1, 0, 1, 0))  # 4x4 with padding 1 loses a pixel
        return rectified(self.image(features))


class _Down(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, *, normalize: bool, dropout: bool) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.InstanceNorm2d(outputs)] if normalize else []
        layers += [nn.LeakyReLU(0.2)]
        super().__init__(*layers, *([nn.Dropout(0.2)] if dropout else []))


class _Up(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, *, dropout: bool) -> None:
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.InstanceNorm2d(outputs), nn.ReLU()]
        super().__init__(*layers, *([nn.Dropout(0.2)] if dropout else []))


class MMGANArchitecture(Architecture):
    """The arguments of `MMGAN` besides the number of modalities and its depth."""

    def build(self, *, modalities: int, datasets: int, matrix: int) -> MMGAN:
        """The network; it takes any number of datasets and any size of slices, and is as deep as `matrix` needs."""
        side = max(16, 1 << (matrix - 1).bit_length())  # 192 pixels, as published: 256
        return MMGAN(modalities=modalities, side=side, **self.model_dump())


class StackDiscriminator(nn.Module):
    """PatchGAN on a stack beside the true one, with one patch map per modality.

    Args:
        modalities: Number of modalities.
        width: Channels after the first convolution (64).
    """

    def __init__(self, *, modalities: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(2 * modalities, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n in (1, 2, 4):
            layers += [nn.Conv2d(n * width, 2 * n * width, 4, 2, 1), nn.InstanceNorm2d(2 * n * width)]
            layers += [nn.LeakyReLU(0.2)]
        layers += [nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(8 * width, modalities, 4, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, candidate: Images, truth: Images) -> Tensor:
        """The patch maps, (slice, modality, row, column)."""
        maps: Tensor = self.layers(torch.cat([candidate, truth], 1))
        return maps


class ImplicitConditioning(Objective):
    """From few missing modalities to many; only missing ones carry loss, given ones are real to the adversary."""

    def draw(self, available: Available, random: np.random.Generator, share: float) -> Condition:
        """Uniform over the subsets of the available modalities that lack as many as the curriculum allows by now."""
        there = available.nonzero().flatten().numpy()
        allowed = next((most for end, most in CURRICULUM if share < end), len(there))
        subsets = np.arange(1, 2 ** len(there) - 1)  # at least one given, one missing
        counts = len(there) - np.array([int(s).bit_count() for s in subsets])
        subsets = subsets[counts <= allowed]
        if not len(subsets):  # a single modality
            return Condition(available, available)
        drawn = int(random.choice(subsets))
        given = chosen(there[[bool(drawn >> i & 1) for i in range(len(there))]], len(available))
        return Condition(given, available & ~given)

    def generator_loss(
        self, generator: nn.Module, adversary: nn.Module | None, batch: Batch, condition: Condition
    ) -> tuple[Images, dict[str, Tensor]]:
        """The targets, and 0.9 L1 over them beside 0.1 of the adversary's distance to real, at the paper's weights."""
        outputs = generator(batch.images, condition.sources, batch.dataset, condition.targets)
        made = condition.synthesized
        pixels = F.l1_loss(outputs[:, made], batch.images[:, made]) if made else torch.zeros(())
        losses = {"generator": self.weights.synthesis * pixels, "synthesis": pixels}
        if adversary and made:
            maps = self._maps(adversary, outputs, batch, condition)
            losses["adversarial"] = F.mse_loss(maps, torch.ones_like(maps))
            losses["generator"] = losses["generator"] + self.weights.adversarial * losses["adversarial"]
        return outputs, losses

    def adversary_loss(
        self, adversary: nn.Module, outputs: Images, batch: Batch, condition: Condition
    ) -> Tensor | None:
        """Real stacks towards 1; in stacks with synthesized modalities those towards 0, given ones towards 1."""
        if not condition.synthesized:
            return None
        real = self._maps(adversary, batch.images, batch, condition)
        fake = self._maps(adversary, outputs, batch, condition)
        label = condition.sources[batch.available].to(fake)[:, None, None].expand_as(fake)
        return 0.5 * (F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, label))

    def _maps(self, adversary: nn.Module, images: Images, batch: Batch, condition: Condition) -> Tensor:
        """Of the modalities with truth; the others are zero in both stacks."""
        device = images.device
        truth = torch.where(batch.available.to(device)[:, None, None], batch.images, 0.0)
        synthesized = (condition.targets & ~condition.sources).to(device)[:, None, None]
        maps: Tensor = adversary(torch.where(synthesized, images, truth), truth)
        return maps[:, batch.available.to(device)]


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
