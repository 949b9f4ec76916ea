"""How many slices share a pass, so that a process stays within a limit of memory."""

import math

from pmmsynth.errors import UsageError
from pmmsynth.machine import memory_held
from pmmsynth.model import ModelCard
from pmmsynth.predict import SLICES_AT_ONCE

MAPS, MAPS_PER_MODALITY = 20, 6
"""Float32 maps of `width` channels at full size that a pass holds per slice at most, and more for each modality.

Measured with all but one modality given and heads that fill the slice: 20 of one source, 42 of five.
"""


def slices_within(gigabytes: float | None, card: ModelCard, *, stack: int = 0) -> int:
    """The number of slices at once that fits a limit; SLICES_AT_ONCE at most.

    Args:
        gigabytes: Limit of this process, 1e9 bytes each, what it holds already included; None for no limit.
        card: Of the model.
        stack: Slices of the whole case, whose output is still to be held beside the pass.

    Raises:
        UsageError: If not even one slice fits.
    """
    if gigabytes is None:
        return SLICES_AT_ONCE
    if not math.isfinite(gigabytes):
        raise UsageError(f"found a limit of {gigabytes:g} GB; expected a number such as 4; correct --memory")
    pixel = 4 * card.matrix**2
    each = maps(card) * card.architecture.width * pixel
    fixed = memory_held() + 2 * stack * len(card.modalities) * pixel  # the parts and the whole they are joined to
    fitting = int((gigabytes * 1e9 - fixed) // each)
    if fitting < 1:
        least = (fixed + each) / 1e9
        raise UsageError(
            f"found a limit of {gigabytes:g} GB; expected at least {least:.2f} GB for one slice; raise --memory"
        )
    return min(fitting, SLICES_AT_ONCE)


def maps(card: ModelCard) -> int:
    """Maps at most of one slice of this model."""
    return MAPS + MAPS_PER_MODALITY * len(card.modalities)
