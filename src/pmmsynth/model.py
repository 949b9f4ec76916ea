"""The model folder: `model.safetensors` (weights) and `model.json` (what they are and how to use them)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pmmsynth.atomic import replacing, replacing_folder, sha256, write_json
from pmmsynth.case import Split
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.manifest import first_message
from pmmsynth.methods import METHODS, OURS, architecture_of
from pmmsynth.modality import Task, check_modalities
from pmmsynth.nets import Architecture, Generator
from pmmsynth.store import FEWEST_PIXELS, MOST_PIXELS, Intensity, check_datasets
from pmmsynth.tensors import Available

WEIGHTS, CARD = "model.safetensors", "model.json"
REMEDY = "use a folder that pmmsynth train wrote, or copy it again"
INTENDED_USE = "research; not for primary diagnosis"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class Shrinkage(Frozen):
    """How far one task trusts the network: y = r + weight (network - r), r = a + sum of b_s x_s.

    Attributes:
        weight: From 0, linear regression alone, to below 1, where the network is taken as it is and nothing is kept.
        regression: Per dataset a, then b_s in the order of the task's sources.
    """

    weight: float = Field(ge=0, lt=1)
    regression: dict[str, tuple[FiniteFloat, ...]]


class ModelCard(Frozen):
    """`model.json`.

    Attributes:
        method: A name in METHODS.
        architecture: Of that method.
        modalities: The channels, in order.
        matrix: Pixels per side of a slice.
        inplane_mm: Pixel size.
        training: Where the weights come from: seed, epochs, steps, cases per dataset, digest of the data, versions,
            validation PSNR.
        learned: The images it was trained and validated on (`learned.py`); None: not said.
        shrinkage: By task, as "T1->T1C"; tasks that are not in it take the network as it is. None: never estimated.
        weights_sha256: Of `model.safetensors`.
    """

    format: Literal[1] = 1
    method: str = OURS
    architecture: SerializeAsAny[Architecture]
    modalities: tuple[str, ...]
    datasets: tuple[DatasetCard, ...]
    matrix: int = Field(ge=FEWEST_PIXELS, le=MOST_PIXELS, multiple_of=4)
    inplane_mm: float = Field(ge=0.1, le=10)
    training: dict[str, Any]
    learned: dict[Split, tuple[str, ...]] | None = None
    shrinkage: dict[str, Shrinkage] | None = None
    intended_use: str = INTENDED_USE
    weights_sha256: str = ""

    @field_validator("architecture", mode="before")
    @classmethod
    def _of_the_method(cls, value: object, info: ValidationInfo) -> Architecture:
        return architecture_of(info.data.get("method"), value)

    @model_validator(mode="after")
    def _holds_together(self) -> "ModelCard":
        check_datasets([(d.id, d.name) for d in self.datasets])
        check_modalities(self.modalities)
        if set(self.modalities) != {m for d in self.datasets for m in d.intensity}:
            raise ValueError(f"modalities {', '.join(self.modalities)} are not those the datasets have intensities of")
        for text, kept in (self.shrinkage or {}).items():
            try:
                task = Task.parse(text)
            except UsageError as error:
                raise ValueError(str(error)) from error
            if str(task) != text or not {*task.sources, task.target} <= set(self.modalities):
                raise ValueError(f"shrinkage of {text}: not a task of this model as it is written, {task}")
            lengths = {name: len(values) for name, values in kept.regression.items()}
            expected = {d.name: 1 + len(task.sources) for d in self.datasets}
            if lengths != expected:
                raise ValueError(f"shrinkage of {text} has {lengths} coefficients, not {expected}")
        return self

    @property
    def digest(self) -> str:
        """Of all that determines the output: the weights and the shrinkage."""
        kept = {text: kept.model_dump(mode="json") for text, kept in (self.shrinkage or {}).items()}
        said = json.dumps([self.weights_sha256, kept], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest() if kept else self.weights_sha256

    def dataset(self, name: str) -> DatasetCard:
        """The dataset of this name. Raises UsageError listing the known ones."""
        for card in self.datasets:
            if card.name == name:
                return card
        known = ", ".join(card.name for card in self.datasets)
        raise UsageError(f"found dataset {name!r}; expected one the model was trained on: {known}; choose one of them")

    def network_weight(self, task: Task) -> float:
        """How far the network is trusted in a task; the rest is linear regression."""
        kept = (self.shrinkage or {}).get(str(task))
        return kept.weight if kept else 1.0

    def mask(self, modalities: tuple[str, ...]) -> Available:
        """Which channels these modalities are. Raises UsageError for one the model does not know."""
        unknown = [m for m in modalities if m not in self.modalities]
        if unknown:
            raise UsageError(
                f"found modality {unknown[0]}; expected one the model was trained on: {', '.join(self.modalities)}; "
                "leave it out"
            )
        return torch.tensor([m in modalities for m in self.modalities])

    def can(self, task: Task) -> bool:
        """Whether the model does a task: some methods take a single source only."""
        return len(task.sources) == 1 or not METHODS[self.method].one_to_one

    def build(self) -> Generator:
        """A generator of this architecture with fresh weights."""
        return self.architecture.build(modalities=len(self.modalities), datasets=len(self.datasets), matrix=self.matrix)


def save_model(folder: Path, generator: Generator, card: ModelCard) -> None:
    """Write a model folder, complete or not at all; an older one is replaced."""
    with replacing_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS, generator.state_dict())
        card = card.model_copy(update={"weights_sha256": sha256(temporary / WEIGHTS)})
        write_json(temporary / CARD, card.model_dump(mode="json"))


def read_card(folder: Path) -> ModelCard:
    """The card of a model or exported folder, or of the model in a run folder. Raises BadInput if there is none."""
    folder = _model_folder(folder)
    if not (folder / CARD).is_file():
        raise BadInput(f"no {CARD} in {folder}", "a model folder", REMEDY)
    try:
        return ModelCard.model_validate_json((folder / CARD).read_bytes())
    except ValidationError as error:
        raise BadInput(f"{folder / CARD}: {first_message(error)}", "a model card of this version", REMEDY) from error


def load_model(folder: Path) -> tuple[Generator, ModelCard]:
    """Read a model folder, or the one inside a run folder; nothing in it is executed.

    Raises:
        BadInput: If a file is missing, damaged, or the weights do not fit the architecture.
    """
    folder = _model_folder(folder)
    card = read_card(folder)
    if not (folder / WEIGHTS).is_file():
        raise BadInput(f"no {WEIGHTS} in {folder}", "a model folder", f"{REMEDY}; graphs of export need --backend")
    if sha256(folder / WEIGHTS) != card.weights_sha256:
        raise BadInput(f"{folder / WEIGHTS}: not the bytes {CARD} was written for", "its sha256", REMEDY)
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        generator = card.build()
    wanted = generator.state_dict()
    weights = load_tensors(folder / WEIGHTS, wanted, REMEDY)
    placed = {name: torch.empty_strided(like.shape, like.stride(), dtype=like.dtype) for name, like in wanted.items()}
    generator.load_state_dict({name: placed[name].copy_(tensor) for name, tensor in weights.items()}, assign=True)
    return generator.eval(), card


def _model_folder(folder: Path) -> Path:
    inner = folder / "model"
    return inner if (inner / CARD).is_file() else folder


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors by name as safetensors, complete or not at all."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with replacing(path) as file:
        file.write_bytes(content)  # a full disk is an OSError: save_file has errors of its own


def load_tensors(path: Path, like: Mapping[str, torch.Tensor], remedy: str) -> dict[str, torch.Tensor]:
    """Read tensors of exactly these names, shapes and types, all finite. Raises BadInput with the remedy."""
    try:
        tensors = load_file(path)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:  # KeyError: a number format torch has not
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInput(f"{path}: {reason}", "a safetensors file", remedy) from error
    if wrong := first_difference(tensors, like):
        raise BadInput(f"{path}: {wrong}", "weights of the network they are for", remedy)
    return tensors


def first_difference(weights: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str | None:
    """The first name, shape or number format that differs, or tensor with values that are not finite, in words."""
    for name in sorted(wanted.keys() ^ weights.keys()):
        return f"{'no' if name in wanted else 'unknown'} tensor {name}"
    for name, tensor in weights.items():
        like = wanted[name]
        if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
            kinds = [f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in (tensor, like)]
            return f"{name} is {kinds[0]}, not {kinds[1]}"
        if not tensor.isfinite().all():
            return f"{name} holds values that are not finite"
    return None
