"""Every method of the comparison by name: the one list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError
from torch import nn

from pmmsynth.baselines.ftn import FTNArchitecture
from pmmsynth.baselines.mm_gan import ImplicitConditioning, MMGANArchitecture, StackDiscriminator
from pmmsynth.baselines.mm_synth import EveryLatent, MMSynthArchitecture
from pmmsynth.baselines.pflsynth import PairDiscriminators, PFLSynthArchitecture, SourceBeside
from pmmsynth.baselines.resvit import ResViTArchitecture, StackPatchGAN, WholeStack
from pmmsynth.losses import LossWeights
from pmmsynth.manifest import first_message
from pmmsynth.nets import Architecture, Discriminators, PMMSynthArchitecture
from pmmsynth.objective import Objective, OneToOne


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
METHODS: dict[str, Method] = {
    "MM-GAN": Method(
        MMGANArchitecture(),
        small={},
        tiny={"width": 4},
        adversary=StackDiscriminator,
        objective=ImplicitConditioning,
        weights=LossWeights(synthesis=0.9, reconstruction=0.0, adversarial=0.1),
    ),
    "MM-Synth": Method(
        MMSynthArchitecture(),
        small={"width": 12, "latent": 6},
        tiny={"width": 4, "latent": 4},
        adversary=None,
        objective=EveryLatent,
        weights=LossWeights(synthesis=1.0, reconstruction=0.0, adversarial=0.0),
    ),
    "ResViT": Method(
        ResViTArchitecture(),
        small={"width": 24, "hidden": 192, "heads": 3},
        tiny={"width": 4, "hidden": 8, "heads": 2, "layers": 1},
        adversary=StackPatchGAN,
        objective=WholeStack,
        weights=LossWeights(synthesis=200.0, reconstruction=200.0, adversarial=1.0),  # 100 on [-1, 1]
    ),
    "pFLSynth": Method(
        PFLSynthArchitecture(),
        small={"width": 32},
        tiny={"width": 4, "latent": 8},
        adversary=PairDiscriminators,
        objective=SourceBeside,
        weights=LossWeights(synthesis=200.0, reconstruction=0.0, adversarial=1.0),  # 100 on [-1, 1]
        one_to_one=True,
    ),
    "FTN": Method(
        FTNArchitecture(),
        small={},
        tiny={"width": 2},
        adversary=None,
        objective=OneToOne,
        weights=LossWeights(synthesis=1.0, reconstruction=0.0, adversarial=0.0),
        one_to_one=True,
    ),
    "PMM-Synth w/o PFM": Method(
        PMMSynthArchitecture(personalized=False),
        small={"width": 16},
        tiny={"width": 4, "residual_blocks": 1, "embedding": 8},
    ),
    "PMM-Synth w/o shortcut": Method(
        PMMSynthArchitecture(shortcut=False),
        small={"width": 16},
        tiny={"width": 4, "residual_blocks": 1, "embedding": 8},
    ),
    OURS: Method(
        PMMSynthArchitecture(),
        small={"width": 16},
        tiny={"width": 4, "residual_blocks": 1, "embedding": 8},
    ),
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
