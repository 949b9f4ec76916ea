"""The PMM-Synth generator: any sources to any targets, personalized by the dataset."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from pmmsynth.nets.decoders import DecodingStream
from pmmsynth.nets.encoders import EncodingStream
from pmmsynth.nets.fuse import channels_last
from pmmsynth.nets.generator import Architecture, Generator, channels
from pmmsynth.nets.head import head_box, inside
from pmmsynth.nets.modulation import DatasetEmbedding
from pmmsynth.nets.shortcut import LinearShortcut
from pmmsynth.nets.unify import FeatureUnification
from pmmsynth.tensors import Available, DatasetId, Images


class PMMSynth(Generator):
    """Encoding streams, feature unification at three scales, a linear shortcut, one decoding stream per modality.

    Streams of modalities that are neither given nor wanted do not run. The output is linear, without bounds; who uses
    it clips to [0, 1] (see docs/explanation/decisions.md).

    Args:
        modalities: Number of modalities |C|.
        width: Channels c of the first scale (64 at the paper's scale).
        residual_blocks: Per stream, at the coarsest scale.
        embedding: Length of D_emb.
        personalized: False gives every dataset the embedding of the first, so that PFM says the same of all.
        shortcut: False leaves the linear shortcut out, which the paper does not have.
    """

    def __init__(
        self,
        *,
        modalities: int,
        width: int = 64,
        residual_blocks: int = 3,
        embedding: int = 64,
        personalized: bool = True,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.personalized = personalized
        sizes = {"width": width, "residual_blocks": residual_blocks, "embedding": embedding}
        self.embedding = DatasetEmbedding(width=embedding)
        self.common = EncodingStream(modalities, **sizes)
        self.specific = nn.ModuleList(EncodingStream(1, **sizes) for _ in range(modalities))
        self.unify = nn.ModuleList(FeatureUnification(n * width) for n in (1, 2, 4))
        self.shortcut = LinearShortcut(modalities, embedding=embedding) if shortcut else None
        self.decoders = nn.ModuleList(DecodingStream(**sizes) for _ in range(modalities))
        channels_last(self)

    def forward(self, images: Images, sources: Available, dataset: DatasetId, targets: Available) -> Images:
        """As every generator; the streams run in the box around the head alone."""
        given = torch.where(sources.to(images.device)[:, None, None], images, 0.0)  # Eq. 4, also where Y is NaN
        box = head_box(given)
        made = self.synthesize(box.cut(given), channels(sources), dataset, channels(targets))
        return box.paste(made, given.shape[-2:])

    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`, everywhere in the slice."""
        embedding = self.embedding(dataset if self.personalized else torch.zeros_like(dataset))
        head = inside(given)
        common = self.common(given, embedding, head)
        specific = [self.specific[i](given[:, i : i + 1], embedding, head) for i in sources]
        unified = [
            unify(shared, scale)
            for unify, shared, scale in zip(self.unify, common, zip(*specific, strict=True), strict=True)
        ]
        outputs = torch.zeros_like(given)
        condition = torch.tensor([i in sources for i in range(given.shape[1])])
        for i in targets:
            image = self.decoders[i](unified, embedding, head)
            if self.shortcut:
                image = image + self.shortcut(given, condition, i, embedding, head)
            outputs[:, i : i + 1] = image
        return outputs


class PMMSynthArchitecture(Architecture):
    """The arguments of `PMMSynth` besides the number of modalities."""

    residual_blocks: int = Field(default=3, ge=0, le=64)
    embedding: int = Field(default=64, ge=1, le=4096)
    personalized: bool = True
    shortcut: bool = True

    def build(self, *, modalities: int, datasets: int, matrix: int) -> PMMSynth:
        """The network; it takes any number of datasets and any size of slices."""
        return PMMSynth(modalities=modalities, **self.model_dump())
