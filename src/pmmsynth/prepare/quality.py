"""How far a prepared case can be trusted: cheap numbers per modality, and what to say about low ones."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

FEW_SLICES = 16
FEW_EDGES = 0.33
"""Sharp references of 50 glioma cases have 0.35 and more with their best partner."""
SOFT = 0.525
"""Sequences here have a sharpness of 0.53 (diffusion, 2 mm) to 0.73; blurred by 4 mm
(full width at half maximum) all have less than 0.521."""
ACROSS, DOWN = 0.85, 1.57
"""Anisotropies beyond which a sequence is blurred from left to right, or from front to back. Ordinary ones here have
0.91 to 1.48; those seen to be blurred 0.69 to 0.79, and 1.66 to 2.08."""
INTERLEAVED = 0.04
"""Odd and even slices here differ by up to 0.016 in brightness."""
FEW_LEVELS, LEVEL_VOXELS = 100, 500_000
"""Grey levels of too few, and among how many voxels they are counted. The coarsest sequences here have 189."""
NEGATIVE = 0.05
"""Share of a brain below 0; what interpolation left here is up to 0.010."""
DENTED = 0.68
"""Solidity of a brain mask below which something is missing from it. Good masks of nine heads have 0.78 to 0.90, one
with a gap at the base of the brain 0.57."""
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
    chosen = few_slices(brain)
    inside = ndimage.binary_erosion(brain[chosen], np.ones((1, 3, 3)), iterations=3) & (image[chosen] > 0)
    if inside.sum() < 100:
        return 0.0
    one, other = (_edges(volume[chosen])[inside].astype(np.float64) for volume in (image, reference))
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def few_slices(brain: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Some slices with much brain, evenly spread."""
    candidates = _large(brain)
    return candidates[np.unique(np.linspace(0, len(candidates) - 1, FEW_SLICES).round().astype(int))]


def interleave(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    """By what share odd and even slices differ in brightness; 0 if there are fewer than eight with much brain.

    Each slice against its two neighbours, medians over the brain that all three have.
    """
    inside, slices = brain & (image > 0), _large(brain)[1:-1]
    excess = []
    for k in slices:
        common = inside[k - 1] & inside[k] & inside[k + 1]
        if common.any():
            below, here, above = (np.log(np.median(image[j][common])) for j in (k - 1, k, k + 1))
            excess.append((-1) ** k * (here - (below + above) / 2))
    return float(abs(np.mean(excess))) if len(excess) >= 6 else 0.0


def solidity(brain: NDArray[np.bool_]) -> float:
    """How much of its convex outline a mask fills, slice by slice: 1 for a convex one, low for one with a gap.

    A tenth of the slices with much brain have less; the lowest ones of any brain have lobes with a gap in between.
    """
    return float(np.percentile([_filled_share(brain[k]) for k in _large(brain)], 10))


def levels(data: NDArray[np.float32]) -> int:
    """How many different values above 0 a file has, among up to 500 000 of its voxels."""
    values = data.ravel(order="K")
    if values.size > LEVEL_VOXELS:
        values = values[np.random.default_rng(0).integers(values.size, size=LEVEL_VOXELS)]
    return len(np.unique(values[values > 0]))


def remarks(quality: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What a person should look at, in words; empty for an ordinary case."""
    said = []
    for name, score in quality.items():
        if score.get("solidity", 1.0) < DENTED:
            said.append(f"the brain mask made from {name} has a gap (fills {score['solidity']:.0%} of its outline)")
        if "lost" in score:
            said.append(unplaced(name))
        if score["coverage"] < 0.8:
            said.append(f"{name} covers {score['coverage']:.0%} of the brain")
        if score["clipped"] > 0.05 and name != "ADC":
            said.append(f"{name}: {score['clipped']:.0%} of the voxels are clipped")
        if score["negative"] > NEGATIVE:
            said.append(f"{name}: {score['negative']:.0%} of the brain are below 0 and became 0: normalized before?")
        if score["levels"] < FEW_LEVELS:
            said.append(f"{name} has only {score['levels']:.0f} grey levels: a mask or a picture?")
        if score["interleave"] > INTERLEAVED:
            said.append(f"{name}: odd and even slices differ by {score['interleave']:.0%} in brightness")
        if blur := _blur(score):
            said.append(f"{name} is blurred {blur}")
        if score["alignment"] < 0.05:
            said.append(f"{name} follows no edge of the reference (gradient correlation {score['alignment']:.2f})")
        if DOUBT < score.get("doubt", 0.0) <= MOST_DOUBT:
            said.append(f"the registration of {name} is doubtful (two starts end {score['doubt']:.1f} mm apart)")
    others = [score["alignment"] for score in quality.values() if score["alignment"] < 1 - 1e-6]
    if others and max(others) < FEW_EDGES and not any(_blur(score) for score in quality.values()):
        said.append(f"the reference shares few edges with any other sequence (at most {max(others):.2f}): misplaced?")
    cropped = max((score["cropped"] for score in quality.values()), default=0.0)
    if cropped > 0.005:
        said.append(f"{cropped:.1%} of the brain lie outside the crop")
    return said


def unplaced(name: str) -> str:
    """What to say of a sequence whose header has no place in the world."""
    return f"{name} does not say how it lies (no sform, no qform)"


def unfit(quality: Mapping[str, Mapping[str, float]]) -> str | None:
    """Why a case should not be used, or None."""
    for name, score in quality.items():
        if score.get("doubt", 0.0) > MOST_DOUBT:
            return f"the registration of {name} cannot be trusted (two starts end {score['doubt']:.1f} mm apart)"
        if score.get("information", np.inf) < LEAST_INFORMATION:
            return f"the registration of {name} cannot be trusted (information {score['information']:.2f})"
    return None


def _blur(score: Mapping[str, float]) -> str | None:
    """In which direction a sequence is blurred, in words."""
    anisotropy = score.get("anisotropy", 1.0)
    if anisotropy < ACROSS or anisotropy > DOWN:
        direction = "from left to right" if anisotropy < ACROSS else "from front to back"
        return f"{direction} (anisotropy {anisotropy:.2f}): acquired thick in another plane?"
    if score.get("sharpness", 1.0) < SOFT:
        return f"in plane (sharpness {score['sharpness']:.2f})"
    return None


def _large(brain: NDArray[np.bool_]) -> NDArray[np.intp]:
    area = brain.sum(axis=(1, 2))
    return np.flatnonzero(area > 0.3 * area.max())


def _filled_share(mask: NDArray[np.bool_]) -> float:
    pixels = np.argwhere(mask)
    corners = np.concatenate([pixels + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return len(pixels) / float(ConvexHull(corners).volume)  # of a polygon that is its area


def _edges(slices: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hypot(*np.gradient(slices, axis=(1, 2)))
