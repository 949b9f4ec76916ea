"""Whether a sequence looks like what its name says, and like the same brain as the others: by image alone.

Thresholds are from 50 real glioma cases and 2 of multiple sclerosis with four sequences each; tests/check measures on
them what is noticed and what is noticed falsely.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.prepare.quality import alignment

DEEP_MM, MIDDLE_MM, SHELL_MM = 25.0, 12.0, (4.0, 9.0)
"""From the edge of the brain: where ventricles lie; where white matter prevails; where cortex does."""
FLUID_DARK, FLUID_BRIGHT = 0.0, {"T1": 0.2, "T1C": 1.0, "FLAIR": 1.5, "DWI": 1.5}
"""Fluid balance: below the first no T2 or ADC was seen, above the others no sequence of that name."""
SWAPPED = -0.05
"""White to grey matter of T1 less that of FLAIR: below it no pair was seen."""
FOREIGN = 0.26
"""Edges shared with the best partner: sequences of one brain share 0.28 and more, of two brains mostly less."""


def fluid_balance(image: NDArray[np.float32], depth: NDArray[np.float64]) -> float:
    """Log ratio of how far the brightest and the darkest of the deep brain lie from its median.

    Above 0 where fluid is bright (T2, ADC), below where it is dark (T1).

    Args:
        image: (slice, row, column), 0 outside the brain.
        depth: Distance to the edge of the brain, in mm, 0 outside.
    """
    low, median, high = np.percentile(image[depth > DEEP_MM], [2, 50, 98])
    return float(np.log(max(high - median, 1e-6) / max(median - low, 1e-6)))


def white_to_grey(image: NDArray[np.float32], depth: NDArray[np.float64]) -> float:
    """Median of the deep brain over that of a shell near its surface: above 1 in T1. Arguments as above."""
    shell = (depth > SHELL_MM[0]) & (depth < SHELL_MM[1])
    return float(np.median(image[depth > MIDDLE_MM]) / np.maximum(np.median(image[shell]), 1e-6))


def suspicions(
    images: Mapping[str, NDArray[np.float32]], brain: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> list[str]:
    """What speaks against the names of a prepared case's sequences; empty for an ordinary case.

    Args:
        images: Canonical modality name to (slice, row, column), one grid.
        brain: On that grid.
        spacing: Of slices, rows and columns in mm.
    """
    depth = ndimage.distance_transform_edt(brain, sampling=spacing)
    if (depth > DEEP_MM).sum() < 100:
        return []  # a part of a brain
    said = []
    for name, image in images.items():
        balance = fluid_balance(image, depth)
        if name in ("T2", "ADC") and balance < FLUID_DARK:
            said.append(f"{name} may be another sequence: fluid is dark")
        elif balance > FLUID_BRIGHT.get(name, np.inf):
            said.append(f"{name} may be a T2 or ADC: fluid is bright")
    if {"T1", "FLAIR"} <= set(images) and white_to_grey(images["T1"], depth) - white_to_grey(
        images["FLAIR"], depth
    ) < SWAPPED:
        said.append("T1 and FLAIR may be swapped: white matter is the brighter one in FLAIR")
    return said + strangers(images, brain)


def strangers(images: Mapping[str, NDArray[np.float32]], brain: NDArray[np.bool_]) -> list[str]:
    """Sequences that share few edges with every other one, where there are three or more. Arguments as above."""
    if len(images) < 3:
        return []
    shared = {name: dict.fromkeys(images, 0.0) for name in images}
    for name in images:
        for other in images:
            if name < other:
                shared[name][other] = shared[other][name] = alignment(images[name], images[other], brain)
    best = {name: max(values.values()) for name, values in shared.items()}
    return [
        f"{name} may be of another patient, out of place or blurred: it shares few edges with any other sequence "
        f"({value:.2f})"
        for name, value in best.items()
        if value < FOREIGN
    ]
