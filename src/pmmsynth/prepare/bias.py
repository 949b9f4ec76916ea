"""The bias field of a coil, taken out by N4 (SimpleITK)."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pmmsynth.errors import BadInput, is_of_memory
from pmmsynth.volume import Volume

COARSE_MM = 4.0
"""The field is smooth: it is fitted on voxels of about this size."""
STEPS = (50, 50, 30, 20)


def without_bias(volume: Volume, brain: NDArray[np.bool_]) -> Volume:
    """The volume divided by the field that N4 finds in its brain; the mean inside the brain stays.

    Args:
        volume: Any sequence with a field to correct (not ADC: a ratio has none).
        brain: On the grid of the volume; where there is none of it, nothing is done.

    Raises:
        BadInput: If N4 cannot work on it, such as a single slice.
    """
    if not brain.any():
        return volume
    data = np.maximum(volume.data, 0)
    image, mask = (sitk.GetImageFromArray(np.ascontiguousarray(a.T)) for a in (data, brain.astype(np.uint8)))
    for one in (image, mask):
        one.SetSpacing(volume.grid.spacing.tolist())  # the field does not depend on where the head lies
    factors = [max(1, round(COARSE_MM / mm)) for mm in volume.grid.spacing]
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetNumberOfThreads(1)
    correct.SetMaximumNumberOfIterations(STEPS)
    try:
        correct.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    except RuntimeError as error:
        if is_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise BadInput(
            f"{volume.path}: N4 finds no field ({reason})",
            "a volume of several slices",
            "leave that sequence out, or set bias_field = false",
        ) from error
    field = np.exp(sitk.GetArrayFromImage(correct.GetLogBiasFieldAsImage(image)).T)
    corrected = volume.data / np.maximum(field, 1e-3)  # what is below 0 stays so, to be counted
    corrected *= data[brain].mean() / max(float(corrected[brain].clip(0).mean()), 1e-12)
    return replace(volume, data=corrected.astype(np.float32))
