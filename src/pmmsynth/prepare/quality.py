"""How far a prepared case can be trusted: cheap numbers per modality, and what to say about low ones."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FEW_SLICES = 16
FEW_EDGES = 0.33
"""The three blurred T1 of 50 glioma cases have 0.22 to 0.32 with their best partner, sharp ones 0.35 and more."""


DOUBT, MOST_DOUBT = 1.0, 4.0
"""Millimetres between the results of two starts of a registration: to be looked at; not to be used."""
LEAST_INFORMATION = 0.2
"""Nats; good registrations of real pairs here reach 0.33 and more, one that went astray 0.09."""


def coverage(values: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    """Share of the brain where the sequence has values above 0."""
    return float((values[brain] > 0).mean())


def alignment(image: NDArray[np.float32], reference: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    """Correlation of in-plane gradient magnitudes with the reference, well inside the brain, on a few slices.

    1 for the reference itself; low for a shifted, blurred or foreign sequence.
    """
    area = brain.sum(axis=(1, 2))
    candidates = np.flatnonzero(area > 0.3 * area.max())
    chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, FEW_SLICES).round().astype(int))]
    inside = ndimage.binary_erosion(brain[chosen], np.ones((1, 3, 3)), iterations=3) & (image[chosen] > 0)
    if inside.sum() < 100:
        return 0.0
    one, other = (_edges(volume[chosen])[inside].astype(np.float64) for volume in (image, reference))
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def remarks(quality: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What a person should look at, in words; empty for an ordinary case."""
    said = []
    for name, score in quality.items():
        if score["coverage"] < 0.8:
            said.append(f"{name} covers {score['coverage']:.0%} of the brain")
        if score["clipped"] > 0.05 and name != "ADC":
            said.append(f"{name}: {score['clipped']:.0%} of the voxels are clipped")
        if score["alignment"] < 0.05:
            said.append(f"{name} follows no edge of the reference (gradient correlation {score['alignment']:.2f})")
        if DOUBT < score.get("doubt", 0.0) <= MOST_DOUBT:
            said.append(f"the registration of {name} is doubtful (two starts end {score['doubt']:.1f} mm apart)")
    others = [score["alignment"] for score in quality.values() if score["alignment"] < 1 - 1e-6]
    if others and max(others) < FEW_EDGES:
        said.append(f"the reference shares few edges with any other sequence (at most {max(others):.2f}): blurred?")
    cropped = max(score["cropped"] for score in quality.values())
    if cropped > 0.005:
        said.append(f"{cropped:.1%} of the brain lie outside the crop")
    return said


def unfit(quality: Mapping[str, Mapping[str, float]]) -> str | None:
    """Why a case should not be used, or None."""
    for name, score in quality.items():
        if score.get("doubt", 0.0) > MOST_DOUBT:
            return f"the registration of {name} cannot be trusted (two starts end {score['doubt']:.1f} mm apart)"
        if score.get("information", np.inf) < LEAST_INFORMATION:
            return f"the registration of {name} cannot be trusted (information {score['information']:.2f})"
    return None


def _edges(slices: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hypot(*np.gradient(slices, axis=(1, 2)))
