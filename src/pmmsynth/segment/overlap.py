"""How well a region was found: Dice and the 95th-percentile Hausdorff distance of MONAI, and volumes.

Empty regions: where truth and prediction are both empty Dice is 1 and the distance 0; where one of them is, Dice is 0
and there is no distance.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from numpy.typing import NDArray


@dataclass(frozen=True)
class Overlap:
    """One region of one case.

    Attributes:
        dice: From 0 to 1.
        hd95_mm: The larger of the two directed 95th percentiles of the distances between the surfaces; None where
            only one of the two is empty.
        volume_ml: Found.
        truth_ml: True.
    """

    dice: float
    hd95_mm: float | None
    volume_ml: float
    truth_ml: float


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: Iterable[float]) -> Overlap:
    """Compare two masks.

    Args:
        found: (slice, row, column).
        truth: The same shape.
        spacing: In mm, along the same axes.
    """
    sizes = [float(mm) for mm in spacing]
    millilitres = float(np.prod(sizes)) / 1000
    volumes = float(found.sum()) * millilitres, float(truth.sum()) * millilitres
    either = np.argwhere(found | truth)
    if not either.size:
        return Overlap(1.0, 0.0, *volumes)
    if not found.any() or not truth.any():
        return Overlap(0.0, None, *volumes)
    box = tuple(slice(max(low - 1, 0), high + 2) for low, high in zip(either.min(0), either.max(0), strict=True))
    made, wanted = (torch.from_numpy(mask[box].astype(np.float32))[None, None] for mask in (found, truth))
    dice = compute_dice(made, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of MONAI's own call of its own function
        distance = compute_hausdorff_distance(made, wanted, include_background=True, percentile=95, spacing=sizes)
    return Overlap(float(dice), float(distance), *volumes)
