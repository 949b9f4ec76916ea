"""Personalized linear shortcut: each target begins as a linear combination of the sources, which the streams refine."""

import torch
from torch import nn

from pmmsynth.nets.head import Inside
from pmmsynth.tensors import Available, Embedding, Image, Images

HIDDEN = 64
"""Width of the MLP; wide enough for all sets of sources of six modalities."""


class LinearShortcut(nn.Module):
    """y_t = sum over sources of w_s x_s + b inside the head; w and b are an MLP of (D_emb, SC), one head per target.

    A per-voxel regression for every dataset and every set of sources, learned with the rest. It hands absolute
    intensities past the normalization of the streams. Zero at the start. Not part of the paper: see
    docs/explanation/decisions.md.

    Args:
        modalities: Number of modalities |C|.
        embedding: Length of D_emb.
    """

    def __init__(self, modalities: int, *, embedding: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(embedding + modalities, HIDDEN), nn.SiLU())
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, modalities + 1) for _ in range(modalities))
        for parameter in self.heads.parameters():
            nn.init.zeros_(parameter)

    def forward(self, given: Images, sources: Available, target: int, embedding: Embedding, inside: Inside) -> Image:
        """The linear estimate of one target, float32.

        Args:
            given: Zero in every modality that is not a source.
            sources: SC.
            target: Channel wanted.
            embedding: D_emb.
            inside: Where the offset applies.
        """
        with torch.autocast(given.device.type, enabled=False):  # coefficients in bf16 would be steps of 0.8 %
            code = torch.cat([embedding.float(), sources.to(given.device, torch.float32)])
            coefficients = self.heads[target](self.hidden(code))
            linear = (coefficients[:-1, None, None] * given).sum(1, keepdim=True)
            image: Image = linear + coefficients[-1] * inside.full
        return image
