"""Raw diffusion volumes -> the trace-weighted image and the ADC of a clinical exam."""

import numpy as np
from numpy.typing import NDArray

from pmmsynth.errors import BadInput

B0, LEAST_B = 60.0, 500.0
"""s/mm2: at most of a volume without weighting; at least of one that shows diffusion rather than flow."""
SAME_B = 60.0
"""How far b-values of one shell lie apart."""


def trace_and_adc(
    volumes: NDArray[np.float32], b_values: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, int]:
    """The trace image at the highest b, and ADC = ln(S0 / Sb) / (b - b0).

    Sb is the geometric mean over the directions of the highest shell, so that the ADC is the mean of theirs; S0 the
    mean of the volumes without weighting, whose mean b is b0 (50 rather than 0 on many scanners).
    Where either is 0 the ADC is 0.

    Args:
        volumes: (x, y, z, volume), 0 or more.
        b_values: One for each volume, in s/mm2.

    Returns:
        The trace image in the units of the volumes; the ADC in mm2/s, or None without an unweighted volume; the
        number of volumes behind the trace (three directions and more average out anisotropy).

    Raises:
        BadInput: If no volume is weighted enough.
    """
    if not (b_values >= LEAST_B).any():
        raise BadInput(
            f"diffusion volumes with b = {', '.join(f'{b:g}' for b in sorted(set(b_values)))} s/mm2",
            f"one of {LEAST_B:g} or more",
            "leave the series out",
        )
    top = float(b_values.max())
    shell = b_values > top - SAME_B
    weighted = np.maximum(volumes[..., shell], 0)
    seen = (weighted > 0).all(axis=-1)
    logs = np.log(np.where(weighted > 0, weighted, 1)).mean(axis=-1)
    trace = np.where(seen, np.exp(logs), 0).astype(np.float32)
    unweighted = b_values <= B0
    if not unweighted.any():
        return trace, None, int(shell.sum())
    without = np.maximum(volumes[..., unweighted], 0).mean(axis=-1)
    both = seen & (without > 0)
    difference = float(b_values[shell].mean() - b_values[unweighted].mean())
    adc = np.where(both, (np.log(np.where(both, without, 1)) - logs) / difference, 0)
    return trace, np.maximum(adc, 0).astype(np.float32), int(shell.sum())
