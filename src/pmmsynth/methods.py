"""Every method of the comparison by name: the one list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError
from torch import nn

from pmmsynth.losses import LossWeights
from pmmsynth.manifest import first_message
from pmmsynth.nets import Architecture, Discriminators, PMMSynthArchitecture
from pmmsynth.objective import Objective


@dataclass(frozen=True)
class Method:
    """A method as it is trained.

    Attributes:
        architecture: Of the generator, at the published width.
        small: What of it preset `small` has otherwise.
        tiny: What of it preset `tiny` has otherwise.
        adversary: Makes the discriminators, called with `modalities` and `width`; None: trained without.
        objective: What it learns from.
        weights: The lambdas of Eq. 5 its paper has.
        one_to_one: Whether it takes a single source only.
    """

    architecture: Architecture
    small: Mapping[str, int]
    tiny: Mapping[str, int]
    adversary: Callable[..., nn.Module] | None = Discriminators
    objective: type[Objective] = Objective
    weights: LossWeights = field(default_factory=LossWeights)
    one_to_one: bool = False


OURS = "PMM-Synth"
_SIZES: tuple[Mapping[str, int], Mapping[str, int]] = (
    {"width": 16},
    {"width": 4, "residual_blocks": 1, "embedding": 8},
)
METHODS: dict[str, Method] = {
    OURS: Method(PMMSynthArchitecture(), *_SIZES),
    "PMM-Synth w/o PFM": Method(PMMSynthArchitecture(personalized=False), *_SIZES),
}


def architecture_of(method: object, settings: object) -> Architecture:
    """The architecture of a method, from settings that differ from the published ones.

    Raises:
        ValueError: If there is no such method, or it has no such settings.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if isinstance(settings, Architecture):
        settings = settings.model_dump()
    if not isinstance(settings, Mapping):
        raise ValueError(f"settings of {method} are a {type(settings).__name__}, not a table")
    published = METHODS[method].architecture
    try:
        return type(published).model_validate({**published.model_dump(), **settings})
    except ValidationError as error:
        raise ValueError(first_message(error)) from error
