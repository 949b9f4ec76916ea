"""The segmenter: MONAI's 2D U-Net with a channel per region, as a folder of safetensors and a card."""

from pathlib import Path
from typing import Any, Literal

import torch
from monai.networks.nets.unet import UNet
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from pmmsynth.atomic import replacing_folder, sha256, write_json
from pmmsynth.case import Split
from pmmsynth.errors import BadInput
from pmmsynth.machine import device_of
from pmmsynth.manifest import first_message
from pmmsynth.model import load_tensors, save_tensors
from pmmsynth.segment.regions import REGIONS, Target
from pmmsynth.store import FEWEST_PIXELS, MOST_PIXELS

WEIGHTS, CARD = "segmenter.safetensors", "segmenter.json"
REMEDY = "use a folder that pmmsynth segment train wrote, or copy it again"
SLICES_AT_ONCE = 16
DIVISOR = 8
"""Of the matrix: the network halves it three times."""


class SegmenterCard(BaseModel):
    """`segmenter.json`.

    Attributes:
        target: What is segmented.
        modalities: The sequences it takes, in order.
        left_out: The sequence this network was trained without, or "".
        width: Of the first stage.
        matrix: Pixels per side of a slice.
        inplane_mm: Pixel size.
        synthesis: Digest of the model whose images it learned from too, and is given again in channels of their own; ""
            if from real ones alone.
        training: Where the weights come from.
        learned: The images it was trained on (`learned.py`); None: not said.
        weights_sha256: Of `segmenter.safetensors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    target: Target
    modalities: tuple[str, ...] = Field(min_length=1)
    left_out: str
    width: int = Field(ge=1, le=512)
    matrix: int = Field(ge=FEWEST_PIXELS, le=MOST_PIXELS, multiple_of=DIVISOR)
    inplane_mm: float = Field(ge=0.1, le=10)
    synthesis: str = ""
    training: dict[str, Any]
    learned: dict[Split, tuple[str, ...]] | None = None
    weights_sha256: str = ""

    def build(self) -> nn.Module:
        """A network with fresh weights: (slice, channel, row, column) in [0, 1] to logits (slice, region, ...)."""
        return UNet(
            spatial_dims=2,
            in_channels=len(self.modalities) * (2 if self.synthesis else 1),
            out_channels=len(REGIONS[self.target]),
            channels=[self.width * factor for factor in (1, 2, 4, 8)],
            strides=(2, 2, 2),
            num_res_units=2,
            act="RELU",
            norm=("INSTANCE", {"affine": True}),
        )


@torch.inference_mode()
def segment(network: nn.Module, images: Tensor) -> Tensor:
    """Regions of slices: (slice, region, row, column), bool; a voxel belongs to those of probability above one half."""
    device = next(network.parameters()).device
    return torch.cat([(network(part.to(device)) > 0).cpu() for part in torch.split(images, SLICES_AT_ONCE)])


def save_segmenter(folder: Path, network: nn.Module, card: SegmenterCard) -> None:
    """Write a segmenter, complete or not at all; an older one is replaced."""
    with replacing_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS, network.state_dict())
        card = card.model_copy(update={"weights_sha256": sha256(temporary / WEIGHTS)})
        write_json(temporary / CARD, card.model_dump(mode="json"))


def load_segmenter(folder: Path, device: str = "auto") -> tuple[nn.Module, SegmenterCard]:
    """Read what `save_segmenter` wrote, or the one inside a run folder; nothing in it is executed.

    Raises:
        BadInput: If a file is missing, damaged, or the weights do not fit the card.
        UsageError: If the device ("auto", "cpu" or "cuda") is not usable here.
    """
    inner = folder / "model"
    folder = inner if (inner / CARD).is_file() else folder
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise BadInput(f"no {name} in {folder}", "a segmenter", REMEDY)
    try:
        card = SegmenterCard.model_validate_json((folder / CARD).read_bytes())
    except ValidationError as error:
        raise BadInput(f"{folder / CARD}: {first_message(error)}", "the card of a segmenter", REMEDY) from error
    if sha256(folder / WEIGHTS) != card.weights_sha256:
        raise BadInput(f"{folder / WEIGHTS}: not the bytes {CARD} was written for", "its sha256", REMEDY)
    place = device_of(device)
    network = card.build()
    network.load_state_dict(load_tensors(folder / WEIGHTS, network.state_dict(), REMEDY))
    return network.to(place).eval(), card
