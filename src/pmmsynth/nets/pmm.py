"""The PMM-Synth generator: any sources to any targets, personalized by the dataset."""

from collections.abc import Sequence

import torch
from torch import nn

from pmmsynth.nets.decoders import DecodingStream
from pmmsynth.nets.encoders import EncodingStream
from pmmsynth.nets.fuse import channels_last
from pmmsynth.nets.head import head_box, inside
from pmmsynth.nets.modulation import DatasetEmbedding
from pmmsynth.nets.shortcut import LinearShortcut
from pmmsynth.nets.unify import FeatureUnification
from pmmsynth.tensors import Available, DatasetId, Images


class PMMSynth(nn.Module):
    """Encoding streams, feature unification at three scales, a linear shortcut, one decoding stream per modality.

    Streams of modalities that are neither given nor wanted do not run. The output is linear, without bounds; who uses
    it clips to [0, 1] (see docs/explanation/decisions.md).

    Args:
        modalities: Number of modalities |C|.
        width: Channels c of the first scale (64 at the paper's scale).
        residual_blocks: Per stream, at the coarsest scale.
        embedding: Length of D_emb.
    """

    def __init__(self, *, modalities: int, width: int = 64, residual_blocks: int = 3, embedding: int = 64) -> None:
        super().__init__()
        sizes = {"width": width, "residual_blocks": residual_blocks, "embedding": embedding}
        self.embedding = DatasetEmbedding(width=embedding)
        self.common = EncodingStream(modalities, **sizes)
        self.specific = nn.ModuleList(EncodingStream(1, **sizes) for _ in range(modalities))
        self.unify = nn.ModuleList(FeatureUnification(n * width) for n in (1, 2, 4))
        self.shortcut = LinearShortcut(modalities, embedding=embedding)
        self.decoders = nn.ModuleList(DecodingStream(**sizes) for _ in range(modalities))
        channels_last(self)

    def forward(self, images: Images, sources: Available, dataset: DatasetId, targets: Available) -> Images:
        """Synthesize `targets` from `sources`.

        Args:
            images: Height and width divisible by 4. What stands in a modality that is not a source has no influence.
            sources: SC, at least one.
            dataset: n.
            targets: Which modalities are wanted; the others come back as zeros.
        """
        given = torch.where(sources.to(images.device)[:, None, None], images, 0.0)  # Eq. 4, also where Y is NaN
        box = head_box(given)
        return box.paste(self.streams(box.cut(given), _where(sources), dataset, _where(targets)), given.shape[-2:])

    def streams(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`, everywhere in the slice, on images that are zero where they are not given.

        Sources and targets are channel numbers: which streams run does not depend on a tensor.
        """
        embedding = self.embedding(dataset)
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
            linear = self.shortcut(given, condition, i, embedding, head)
            outputs[:, i : i + 1] = linear + self.decoders[i](unified, embedding, head)
        return outputs


def _where(mask: Available) -> list[int]:
    return mask.nonzero().flatten().tolist()
