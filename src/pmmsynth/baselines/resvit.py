"""ResViT: residual convolutions with a vision transformer in two of nine blocks (Dalmaz, Yurt & Cukur, TMI 2022).

The unified variant: all modalities in, missing ones as background, all out. Trained from scratch: the transformer of
the paper began with ImageNet weights.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from pmmsynth.baselines.residual import PatchGAN, Residual, Stage, down, image, normalize, signed, stem, unsigned, up
from pmmsynth.data import Batch, Condition
from pmmsynth.nets.generator import Architecture, Generator
from pmmsynth.objective import Objective
from pmmsynth.tensors import DatasetId, Features, Images

BLOCKS = 9
WITH_TRANSFORMER = (0, 5)
"""The first and the sixth."""
DROPOUT = 0.1


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and MLP.

    Args:
        hidden: Length of a token.
        heads: Of the attention.
    """

    def __init__(self, hidden: int, *, heads: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(hidden, eps=1e-6)
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.before_mlp = nn.LayerNorm(hidden, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Dropout(DROPOUT),
            nn.Linear(4 * hidden, hidden), nn.Dropout(DROPOUT),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        normal = self.before_attention(tokens)
        tokens = tokens + self.attention(normal, normal, normal, need_weights=False)[0]
        tokens = tokens + self.mlp(self.before_mlp(tokens))
        return tokens


class TransformerBlock(nn.Module):
    """The part of an aggregated residual transformer block before its residual convolutions.

    A quarter of the size further down, through the transformer as tokens, up again, beside what came in, compressed.

    Args:
        channels: In and out.
        tokens: Along each side.
        hidden: Length of a token.
    """

    def __init__(self, channels: int, *, tokens: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Sequential(down(channels, 2 * channels), down(2 * channels, 4 * channels))
        self.embed = nn.Conv2d(4 * channels, hidden, 1)
        self.positions = nn.Parameter(torch.zeros(1, tokens * tokens, hidden))
        self.dropout = nn.Dropout(DROPOUT)
        self.up = nn.Sequential(up(hidden, 2 * channels), up(2 * channels, channels))
        self.compress = nn.Sequential(
            Stage(nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            normalize(channels),
        )
        self.beside = nn.Sequential(nn.Conv2d(2 * channels, channels, 1, bias=False), normalize(channels))

    def forward(self, features: Features, transformer: nn.Module) -> Features:
        coarse = self.embed(self.down(features))
        tokens = transformer(self.dropout(coarse.flatten(2).transpose(1, 2) + self.positions))
        risen = self.up(tokens.transpose(1, 2).reshape(coarse.shape))
        both = torch.cat([risen, features], 1)
        compressed: Features = (self.compress(both) + self.beside(both)).relu()
        return compressed


class ResViT(Generator):
    """Residual encoder, nine blocks of which two have a transformer, residual decoder.

    Args:
        modalities: Number of modalities, in and out.
        matrix: Pixels per side, a multiple of 16.
        width: Channels at full size (64).
        hidden: Length of a token (768).
        layers: Of the transformer (12).
        heads: Of its attention (12).
    """

    def __init__(
        self, *, modalities: int, matrix: int, width: int = 64, hidden: int = 768, layers: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(stem(modalities, width), down(width, 2 * width), down(2 * width, 4 * width))
        self.transformer = nn.Sequential(
            *(TransformerLayer(hidden, heads=heads) for _ in range(layers)), nn.LayerNorm(hidden, eps=1e-6)
        )
        self.aggregate = nn.ModuleDict(
            {str(i): TransformerBlock(4 * width, tokens=matrix // 16, hidden=hidden) for i in WITH_TRANSFORMER}
        )
        self.blocks = nn.ModuleList(Residual(4 * width) for _ in range(BLOCKS))
        self.decoder = nn.Sequential(up(4 * width, 2 * width), up(2 * width, width), image(width, modalities))

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`; the dataset has no influence."""
        features = self.encoder(signed(given))
        for number, block in enumerate(self.blocks):
            if number in WITH_TRANSFORMER:
                features = self.aggregate[str(number)](features, self.transformer)  # one transformer for both
            features = block(features)
        made = unsigned(self.decoder(features))
        outputs = torch.zeros_like(given)
        outputs[:, list(targets)] = made[:, list(targets)].to(outputs.dtype)
        return outputs


class ResViTArchitecture(Architecture):
    """The arguments of `ResViT` besides the number of modalities and the size of slices."""

    hidden: int = Field(default=768, ge=1, le=4096)
    layers: int = Field(default=12, ge=0, le=64)
    heads: int = Field(default=12, ge=1, le=64)

    def build(self, *, modalities: int, datasets: int, matrix: int) -> ResViT:
        """The network. Raises ValueError if the slices are not a multiple of 16 pixels, or tokens not of the heads."""
        if matrix % 16 or self.hidden % self.heads:
            raise ValueError(
                f"ResViT needs slices of a multiple of 16 pixels and tokens of a multiple of {self.heads}, "
                f"not {matrix} and {self.hidden}"
            )
        return ResViT(modalities=modalities, matrix=matrix, **self.model_dump())


class StackPatchGAN(nn.Module):
    """One PatchGAN on the stack of all modalities.

    Args:
        modalities: Number of modalities.
        width: Channels after the first convolution (64).
    """

    def __init__(self, *, modalities: int, width: int = 64) -> None:
        super().__init__()
        self.layers = PatchGAN(modalities, width=width)

    def forward(self, stack: Images) -> Tensor:
        """The patch map of a stack."""
        patches: Tensor = self.layers(stack)
        return patches


class WholeStack(Objective):
    """As PMM-Synth's, with an adversary that sees the synthesized modalities beside the given ones."""

    halved = True

    def judge(self, adversary: nn.Module, images: Images, batch: Batch, condition: Condition) -> Sequence[Tensor]:
        """One map of the stack: given modalities are the true ones, absent ones 0."""
        if not condition.synthesized:
            return []
        device = images.device
        given = torch.where(condition.sources.to(device)[:, None, None], batch.images, 0.0)
        given = given.repeat(len(images) // len(given), 1, 1, 1)
        synthesized = (condition.targets & ~condition.sources).to(device)[:, None, None]
        return [adversary(torch.where(synthesized, images, given))]
