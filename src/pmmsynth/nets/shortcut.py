"""The shortcut from the sources to the output: what a linear method can tell of a target, learned with the rest."""

import torch
from torch import nn

from pmmsynth.tensors import Available, Embedding, Image, Images

SPEED = 10.0
"""Weights are stored divided by this, so that Adam moves them that much faster than those of convolutions."""


class SourceShortcut(nn.Module):
    """For each target a weighted mean of the sources, each times a gain; by target, source and dataset.

    Instance normalization removes how bright a slice is; this keeps it. The mean is a softmax over the sources that
    are given, so it is defined for any number of them. At the start it is their plain mean, for every dataset alike.

    Args:
        modalities: Number of modalities |C|.
        embedding: Length of D_emb.
    """

    def __init__(self, modalities: int, *, embedding: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2, modalities, modalities))  # attention and gain; target by source
        self.by_dataset = nn.Linear(embedding, self.weights.numel(), bias=False)
        nn.init.zeros_(self.by_dataset.weight)

    def forward(self, given: Images, sources: Available, embedding: Embedding, target: int) -> Image:
        weights = SPEED * self.weights + self.by_dataset(embedding).float().view_as(self.weights)
        attention, gain = weights[:, target]
        absent = ~sources.to(given.device)
        share = attention.masked_fill(absent, -torch.inf).softmax(0) * (1 + gain)
        mixed: Image = (share[:, None, None] * given).sum(1, keepdim=True)
        return mixed
