"""What networks and losses see: images of one dataset that share their availability."""

from dataclasses import dataclass, replace

import torch

from pmmsynth.tensors import Available, DatasetId, Images


@dataclass(frozen=True)
class Batch:
    """Slices of one dataset with the same modalities.

    Attributes:
        images: Y; values in [0, 1]; a missing modality is the zero image.
        available: M, one vector for all slices; stays on the CPU because it steers which streams run.
        dataset: n.
    """

    images: Images
    available: Available
    dataset: DatasetId

    def __post_init__(self) -> None:
        if self.images.shape[1] != self.available.numel():
            raise ValueError(f"{self.images.shape[1]} modalities of images, {self.available.numel()} of availability")
        if not self.available.any():
            raise ValueError("a batch needs at least one available modality")

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """The batch with its images and id on `device`."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=non_blocking),
            dataset=self.dataset.to(device, non_blocking=non_blocking),
        )
