"""Training settings: one frozen object is the command line, the file and the record in the run folder."""

import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import ConfigDict, Field, SerializeAsAny, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from pmmsynth.errors import UsageError
from pmmsynth.losses import LossWeights
from pmmsynth.machine import can_compile, fast_bf16
from pmmsynth.manifest import first_message
from pmmsynth.methods import METHODS, OURS, Method, architecture_of
from pmmsynth.modality import Task
from pmmsynth.nets import Architecture

Beta = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainConfig:
    """All that determines the weights besides the data; the defaults are the paper's.

    Attributes:
        method: A name in METHODS.
        architecture: Of that method's generator; what is left out is as published.
        discriminator_width: First width of the discriminators (64, 128, 256, 512 in PatchGAN).
        weights: The lambdas of Eq. 5; one that is 0 in the method's paper is a loss it does not have.
        batch_size: B, slices per step and process.
        epochs: In all.
        constant_epochs: At full learning rate; from there it falls linearly, step by step, to zero.
        learning_rate: Of Adam, for generator and discriminators alike.
        betas: Of Adam.
        precision: "bf16-mixed", "32-true", or "auto": bf16 where the hardware computes in it.
        fuse: Whether to compile the work between convolutions; "auto": where there is a compiler.
        seed: Of weights, order and conditions.
        shrink: Whether each task is drawn towards regression in the end, as far as that helps the validation cases.
        validation_tasks: As "T1+T2->FLAIR"; none means every target from all others and from the first other.
        validate_every: Epochs between validations.
        checkpoint_seconds: Time between checkpoints; there is one after each epoch besides.
    """

    method: str = OURS
    architecture: SerializeAsAny[Architecture] = METHODS[OURS].architecture
    discriminator_width: Annotated[int, Field(ge=1, le=1024)] = 64
    weights: LossWeights = LossWeights()
    batch_size: int = 16
    epochs: int = 200
    constant_epochs: int = 50
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2e-4
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    fuse: bool | Literal["auto"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    shrink: bool = True
    validation_tasks: tuple[str, ...] = ()
    validate_every: int = 1
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 120.0

    @field_validator("architecture", mode="before")
    @classmethod
    def _of_the_method(cls, value: object, info: ValidationInfo) -> Architecture:
        return architecture_of(info.data.get("method"), value)

    def __post_init__(self) -> None:
        if not 0 <= self.constant_epochs <= self.epochs or self.epochs < 1:
            raise ValueError(f"constant_epochs {self.constant_epochs} and epochs {self.epochs} do not fit together")
        if self.batch_size < 1 or self.validate_every < 1:
            raise ValueError(
                f"batch_size {self.batch_size} and validate_every {self.validate_every} must be at least 1"
            )
        if not all(0 <= weight < inf for weight in vars(self.weights).values()):
            raise ValueError(f"weights {self.weights} must be finite and at least 0")
        terms = vars(METHODS[self.method].weights)
        if without := [term for term, weight in vars(self.weights).items() if weight and not terms[term]]:
            raise ValueError(f"weight of {without[0]}, a loss that {self.method} does not have")
        for text in self.validation_tasks:
            Task.parse(text)

    def rate(self, epoch: float) -> float:
        """The learning rate at a (fractional) epoch."""
        if epoch <= self.constant_epochs:
            return self.learning_rate
        return self.learning_rate * max(0.0, (self.epochs - epoch) / (self.epochs - self.constant_epochs))

    def learned(self, epoch: float) -> float:
        """The share of all learning done by a (fractional) epoch: the learning rate, summed over time."""
        falling = self.epochs - self.constant_epochs
        fallen = max(0.0, epoch - self.constant_epochs)
        left = max(0.0, falling - fallen) ** 2 / (2 * falling) if falling else 0.0
        total = self.constant_epochs + falling / 2
        return 1 - (max(0.0, self.constant_epochs - epoch) + left) / total

    def lasting(self, epochs: int) -> "TrainConfig":
        """The same settings over another number of epochs, with the same share of them at full learning rate."""
        return self.changed(epochs=epochs, constant_epochs=self.constant_epochs * epochs // self.epochs)

    def changed(self, **settings: object) -> "TrainConfig":
        """With other settings; UsageError if they do not fit together."""
        try:
            return replace(self, **settings)  # type: ignore[arg-type]
        except ValidationError as error:
            raise UsageError(
                f"found {first_message(error)}; expected settings that fit together; correct it"
            ) from error

    def toml(self) -> str:
        """All fields, as `read` reads them."""
        return tomli_w.dumps(TypeAdapter(TrainConfig).dump_python(self, mode="json"))

    def resolved(self, accelerator: str = "auto") -> "TrainConfig":
        """With "auto" decided for what computes here."""
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if fast_bf16(accelerator) else "32-true"
        return replace(self, precision=precision, fuse=can_compile(accelerator) if self.fuse == "auto" else self.fuse)

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read TOML; what the file leaves out has the value of the paper, architecture and weights of the method's own.

        Raises:
            UsageError: For unknown or wrong keys.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            tables.setdefault("architecture", {})
            method, weights = tables.get("method", OURS), tables.get("weights", {})
            if isinstance(method, str) and method in METHODS and isinstance(weights, dict):
                tables["weights"] = asdict(METHODS[method].weights) | weights
            return TypeAdapter(TrainConfig).validate_python(tables)
        except (ValueError, OSError, RecursionError) as error:  # RecursionError: tables within tables within tables
            reason = first_message(error) if isinstance(error, ValidationError) else str(error)
            raise UsageError(
                f"found in {path}: {reason}; expected the fields of TrainConfig; correct the file"
            ) from error


def paper(method: str = OURS) -> TrainConfig:
    """The setting of the PMM-Synth paper, line by line; of other methods the published width and losses."""
    known = _known(method)
    return TrainConfig(
        method=method,
        architecture=known.architecture,
        discriminator_width=64,
        weights=known.weights,
        batch_size=16,
        epochs=200,
        constant_epochs=50,
        learning_rate=2e-4,
        betas=(0.5, 0.999),
    )


def small(method: str = OURS) -> TrainConfig:
    """What two CPU cores train in under an hour: a quarter of the width, short and fast steps, a weak adversary."""
    known = _known(method)
    return TrainConfig(
        method=method,
        architecture=architecture_of(method, known.small),
        discriminator_width=16,
        weights=replace(known.weights, adversarial=known.weights.adversarial / 10),
        batch_size=4,
        epochs=7,
        constant_epochs=1,
        learning_rate=1e-3,
    )


def tiny(method: str = OURS) -> TrainConfig:
    """For tests: seconds."""
    known = _known(method)
    return TrainConfig(
        method=method,
        architecture=architecture_of(method, known.tiny),
        discriminator_width=4,
        weights=known.weights,
        batch_size=2,
        epochs=2,
        constant_epochs=1,
        learning_rate=2e-3,
        precision="32-true",
        fuse=False,
    )


PRESETS: dict[str, Callable[..., TrainConfig]] = {"paper": paper, "small": small, "tiny": tiny}


def _known(name: str) -> Method:
    if name not in METHODS:
        raise UsageError(f"found method {name!r}; expected one of {', '.join(METHODS)}; choose one of them")
    return METHODS[name]


def differences(one: TrainConfig, other: TrainConfig) -> list[str]:
    """The fields in which two settings differ, as "epochs: 20 / 30"."""
    return [f"{k}: {v} / {asdict(other)[k]}" for k, v in asdict(one).items() if v != asdict(other)[k]]
