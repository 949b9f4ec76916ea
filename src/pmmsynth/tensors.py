"""The named tensor shapes that networks, losses and the loop hand to each other."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "batch modality height width"]
"""Modality stack, values in [0, 1], background 0."""

Part = Float[Tensor, "batch modality _height _width"]
"""The part of a modality stack around the head."""

Image = Float[Tensor, "batch 1 _height _width"]
"""One modality of a batch, values in [0, 1]."""

Mask = Float[Tensor, "batch 1 _height _width"]
"""1 inside the head, 0 outside, at the size of some features."""

Features = Float[Tensor, "batch _channel _height _width"]

Available = Bool[Tensor, "modality"]
"""Which modalities are there (M), given (SC) or wanted: one vector for the whole batch, kept on the CPU."""

DatasetId = Int[Tensor, ""]
"""The dataset a batch comes from (n), one for the whole batch."""

Embedding = Float[Tensor, "embedding"]
"""D_emb of Eq. 1, one for the whole batch."""

Scale = Float[Tensor, "channel"]
"""gamma or beta of Eq. 2, one value per channel."""
