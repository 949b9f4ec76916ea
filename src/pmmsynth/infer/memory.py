"""How many slices share a pass, so that a process stays within a limit of memory."""

from pmmsynth.errors import UsageError
from pmmsynth.machine import memory_used
from pmmsynth.model import ModelCard
from pmmsynth.predict import SLICES_AT_ONCE

MAPS = 60
"""Float32 maps of `width` channels at full size that a pass holds per slice at most; measured."""


def slices_within(gigabytes: float | None, card: ModelCard) -> int:
    """The number of slices at once that fits a limit; SLICES_AT_ONCE at most.

    Args:
        gigabytes: Limit of this process, 1e9 bytes each; None for no limit.
        card: Of the model.

    Raises:
        UsageError: If not even one slice fits.
    """
    if gigabytes is None:
        return SLICES_AT_ONCE
    each = MAPS * card.architecture.width * card.matrix**2 * 4
    fixed = memory_used()
    fitting = int((gigabytes * 1e9 - fixed) // each)
    if fitting < 1:
        least = (fixed + each) / 1e9
        raise UsageError(
            f"found a limit of {gigabytes:g} GB; expected at least {least:.1f} GB for one slice; raise --memory"
        )
    return min(fitting, SLICES_AT_ONCE)
