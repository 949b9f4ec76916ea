"""Voxel values to [0, 1] and back: by the mean inside the brain, ADC by its physical range."""

import numpy as np
from numpy.typing import NDArray

from pmmsynth.errors import BadInput
from pmmsynth.store import Intensity

MEANS = 4.0
"""The scale in brain means: the brain mean becomes 0.25."""
ADC_RANGE = 3.0e-3
"""mm2/s that become 1; water at body temperature."""
ADC_MEDIAN = (0.2e-3, 2.5e-3)
"""Where the median of a brain's ADC can lie, in mm2/s."""
ADC_UNITS = {"mm2/s": 1.0, "1e-3 mm2/s": 1e-3, "1e-6 mm2/s": 1e-6}


def measure(modality: str, inside: NDArray[np.float32]) -> Intensity:
    """The mapping of one volume from its positive voxels inside the brain.

    Raises:
        BadInput: For an ADC whose unit is none of the usual ones.
    """
    if modality != "ADC":
        return Intensity(kind="mean", scale=MEANS * float(inside.mean(dtype=np.float64)))
    median = float(np.median(inside))
    for name, unit in ADC_UNITS.items():
        if ADC_MEDIAN[0] <= median * unit <= ADC_MEDIAN[1]:
            return Intensity(kind="physical", scale=ADC_RANGE / unit, units=name)
    raise BadInput(
        f"an ADC map with median {median:.4g} inside the brain",
        f"about 0.8e-3 mm2/s in one of {', '.join(ADC_UNITS)}",
        "rescale it to mm2/s",
    )


def to_unit(values: NDArray[np.float32], intensity: Intensity) -> NDArray[np.float32]:
    """The file's values to [0, 1]; what lies beyond is clipped."""
    return np.clip(values / np.float32(intensity.scale), 0, 1)


def to_native_values(unit: NDArray[np.float32], intensity: Intensity) -> NDArray[np.float32]:
    """[0, 1] to the file's values: the inverse of `to_unit` for all that was not clipped."""
    return unit * np.float32(intensity.scale)
