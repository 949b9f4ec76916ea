"""What the networks of all methods have in common: one signature, one record of their settings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from pmmsynth.tensors import Available, DatasetId, Images


class Generator(nn.Module, ABC):
    """Given modalities of some slices to wanted ones; all slices of a call share dataset, sources and targets."""

    def forward(self, images: Images, sources: Available, dataset: DatasetId, targets: Available) -> Images:
        """Synthesize `targets` from `sources`.

        Args:
            images: Height and width divisible by 4. What stands in a modality that is not a source has no influence.
            sources: SC, at least one.
            dataset: n.
            targets: Which modalities are wanted; the others come back as zeros.
        """
        given = torch.where(sources.to(images.device)[:, None, None], images, 0.0)  # Eq. 4, also where Y is NaN
        return self.synthesize(given, channels(sources), dataset, channels(targets))

    @abstractmethod
    def synthesize(self, given: Images, sources: Sequence[int], dataset: DatasetId, targets: Sequence[int]) -> Images:
        """As `forward`, on images that are zero where they are not given.

        Sources and targets are channel numbers: what runs does not depend on a tensor.
        """


class Architecture(BaseModel, ABC):
    """The settings of a generator, which the model card keeps.

    Attributes:
        width: Channels of the first scale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=1, le=1024)

    @abstractmethod
    def build(self, *, modalities: int, datasets: int, matrix: int) -> Generator:
        """A generator with fresh weights.

        Args:
            modalities: Number of channels |C|.
            datasets: Number of datasets; ids are below it.
            matrix: Pixels per side of a slice.
        """


def channels(mask: Available) -> list[int]:
    """The numbers of the channels a mask names."""
    return mask.nonzero().flatten().tolist()
