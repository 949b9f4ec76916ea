"""Personalized Feature Modulation (PFM), Eq. 1-3."""

import torch
from torch import Tensor, nn

from pmmsynth.tensors import DatasetId, Embedding, Scale

CODE_WIDTH = 128


def sinusoidal(dataset: DatasetId, width: int = CODE_WIDTH) -> Tensor:
    """The sinusoidal code of a dataset id: sines then cosines of n at `width / 2` falling frequencies.

    Args:
        dataset: The id n = 0, 1, 2, ...
        width: Length of the code; even.
    """
    steps = torch.arange(width // 2, device=dataset.device, dtype=torch.float32)
    angles = dataset.float() * 10_000.0 ** (-2.0 * steps / width)
    return torch.cat([angles.sin(), angles.cos()])


class DatasetEmbedding(nn.Module):
    """D_emb = MLP(sinusoidal(n)) (Eq. 1), computed once per forward pass.

    Args:
        width: Length of D_emb.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(CODE_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, dataset: DatasetId) -> Embedding:
        embedding: Embedding = self.mlp(sinusoidal(dataset))  # Eq. 1
        return embedding


class Modulation(nn.Module):
    """Scale and shift of one convolutional block by the dataset (Eq. 2); zero, so the identity, at the start.

    The block applies them as F * (gamma + 1) + beta (Eq. 3).

    Args:
        channels: Channels of the block.
        embedding: Length of D_emb.
    """

    def __init__(self, channels: int, *, embedding: int) -> None:
        super().__init__()
        last = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.SiLU(), last)

    def forward(self, embedding: Embedding) -> tuple[Scale, Scale]:
        gamma, beta = self.mlp(embedding).float().chunk(2)  # Eq. 2
        return gamma, beta
