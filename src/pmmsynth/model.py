"""The model folder: `model.safetensors` (weights) and `model.json` (what they are and how to use them)."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pmmsynth.atomic import replacing, replacing_folder, sha256, write_json
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.manifest import first_message
from pmmsynth.nets import PMMSynth
from pmmsynth.store import Intensity
from pmmsynth.tensors import Available

WEIGHTS, CARD = "model.safetensors", "model.json"
INTENDED_USE = "research; not for primary diagnosis"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(Frozen):
    """The arguments of the generator (`nets/pmm.py`) besides the number of modalities."""

    width: int = 64
    residual_blocks: int = 3
    embedding: int = 64


class DatasetCard(Frozen):
    """One dataset of the training cohort.

    Attributes:
        id: n of Eq. 1.
        name: As in the cohort file.
        modalities: Those its training cases had.
        intensity: Per modality the typical scale of its training cases: a synthesized volume is written in it.
    """

    id: int
    name: str
    modalities: tuple[str, ...]
    intensity: dict[str, Intensity]


class ModelCard(Frozen):
    """`model.json`.

    Attributes:
        modalities: The channels, in order.
        matrix: Pixels per side of a slice.
        inplane_mm: Pixel size.
        training: Where the weights come from: preset, seed, epochs, steps, cases, versions, digests.
        weights_sha256: Of `model.safetensors`.
    """

    format: Literal[1] = 1
    method: Literal["PMM-Synth"] = "PMM-Synth"
    architecture: Architecture
    modalities: tuple[str, ...]
    datasets: tuple[DatasetCard, ...]
    matrix: int
    inplane_mm: float
    training: dict[str, Any]
    intended_use: str = INTENDED_USE
    weights_sha256: str = ""

    def dataset(self, name: str) -> DatasetCard:
        """The dataset of this name. Raises UsageError listing the known ones."""
        for card in self.datasets:
            if card.name == name:
                return card
        known = ", ".join(card.name for card in self.datasets)
        raise UsageError(f"found dataset {name!r}; expected one the model was trained on: {known}; choose one of them")

    def mask(self, modalities: tuple[str, ...]) -> Available:
        """Which channels these modalities are. Raises UsageError for one the model does not know."""
        unknown = [m for m in modalities if m not in self.modalities]
        if unknown:
            raise UsageError(
                f"found modality {unknown[0]}; expected one the model was trained on: {', '.join(self.modalities)}; "
                "leave it out"
            )
        return torch.tensor([m in modalities for m in self.modalities])

    def build(self) -> PMMSynth:
        """A generator of this architecture with fresh weights."""
        return PMMSynth(modalities=len(self.modalities), **self.architecture.model_dump())


def save_model(folder: Path, generator: PMMSynth, card: ModelCard) -> None:
    """Write a model folder, complete or not at all; an older one is replaced."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    with replacing_folder(folder) as temporary:
        with replacing(temporary / WEIGHTS) as file:
            save_file(weights, file)
        card = card.model_copy(update={"weights_sha256": sha256(temporary / WEIGHTS)})
        write_json(temporary / CARD, card.model_dump(mode="json"))


def load_model(folder: Path) -> tuple[PMMSynth, ModelCard]:
    """Read a model folder, or the one inside a run folder; nothing in it is executed.

    Raises:
        BadInput: If a file is missing, damaged, or the weights do not fit the architecture.
    """
    if (folder / "model" / CARD).is_file():
        folder = folder / "model"
    remedy = "use a folder that pmmsynth train wrote, or copy it again"
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise BadInput(f"no {name} in {folder}", "a model folder", remedy)
    try:
        card = ModelCard.model_validate_json((folder / CARD).read_bytes())
    except ValidationError as error:
        raise BadInput(f"{folder / CARD}: {first_message(error)}", "a model card of this version", remedy) from error
    if sha256(folder / WEIGHTS) != card.weights_sha256:
        raise BadInput(f"{folder / WEIGHTS}: not the bytes {CARD} was written for", "its sha256", remedy)
    generator = card.build()
    try:
        generator.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, json.JSONDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{folder / WEIGHTS}: {reason}", "weights of the architecture in the card", remedy) from error
    return generator.eval(), card
