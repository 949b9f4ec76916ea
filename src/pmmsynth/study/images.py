"""Real and synthesized volumes as readers get them: grey levels by one rule, files that differ in nothing else.

Whatever could tell what is real besides the picture itself is made the same: the brain mask, the lowest, mean and
highest level, the steps between levels, and header, size and time of the files.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from pmmsynth.atomic import replacing_folder
from pmmsynth.errors import BadInput
from pmmsynth.evaluate.method import Method
from pmmsynth.modality import Task
from pmmsynth.store import PreparedCase
from pmmsynth.study.sets import ImageSet

TOP = 255
"""The highest grey level. The lowest in the brain is 1; outside is 0."""
CUT = 0.5
"""Percent of the voxels of the brain that become the lowest level, and as many the highest."""
WHEN = 946_684_800
"""When all files were changed, as far as they say: 1 January 2000."""

Values = NDArray[np.float32]


def windowed(values: Values) -> Values:
    """Values in the brain, from 0 at the lowest percentile to 1 at the highest. Raises ValueError if all are alike."""
    low, high = np.percentile(values, [CUT, 100 - CUT])
    if not low < high:
        raise ValueError(f"nearly every value is {low:g}")
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def grey(values: Values, mean: float) -> NDArray[np.uint16]:
    """Grey levels from 1 to TOP of values in the brain, with a mean of `mean` on the scale from 0 to 1.

    Order and ends come from the volume itself; a power of them brings the mean to where it is to be.
    """
    window = windowed(values).astype(np.float64)

    def off(exponent: float) -> float:
        return float((window ** np.exp(exponent)).mean()) - mean

    if off(-3) < 0 or off(3) > 0:
        raise ValueError("nearly every value is lowest or highest")
    bent = window ** np.exp(brentq(off, -3, 3, xtol=1e-6))
    return (1 + np.rint(bent * (TOP - 1))).astype(np.uint16)


def mean_levels(cases: Sequence[PreparedCase], sequences: Sequence[str]) -> dict[str, float]:
    """For every sequence the mean level its volumes get: that of the real ones as they are, over the cases.

    Raises:
        BadInput: If a volume is of one value.
    """
    found: dict[str, list[float]] = {name: [] for name in sequences}
    for case in cases:
        for name, values in _real(case, sequences).items():
            with _naming(case, name):
                found[name].append(float(windowed(values[case.brain()]).mean()))
    return {name: float(np.mean(means)) for name, means in found.items()}


def write_images(
    folder: Path, case: PreparedCase, shown: ImageSet, sequences: Sequence[str], means: Mapping[str, float], by: Method
) -> None:
    """Write a case as it is in a set: one file per sequence; complete or not at all.

    Raises:
        BadInput: If a volume is of one value.
    """
    brain = np.asarray(case.brain())
    real = _real(case, shown.real)
    volumes = real | _synthesized(case, brain, real, shown.synthesized, by)
    with replacing_folder(folder) as temporary:
        for name in sequences:
            levels = np.zeros(brain.shape, np.uint16)
            with _naming(case, name):
                levels[brain] = grey(volumes[name][brain], means[name])
            path = temporary / f"{name}.nii"
            path.write_bytes(_nifti(levels, case.record.prepared.grid().spacing))
            os.utime(path, (WHEN, WHEN))
        os.utime(temporary, (WHEN, WHEN))


def read_levels(path: Path) -> NDArray[np.uint16]:
    """The grey levels of a file, (slice, row, column)."""
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj).T


def _real(case: PreparedCase, sequences: Sequence[str]) -> dict[str, Values]:
    images = case.slices(range(case.record.prepared.shape[2]))
    return {name: images[case.record.modalities.index(name)] for name in sequences}


def _synthesized(
    case: PreparedCase, brain: NDArray[np.bool_], real: Mapping[str, Values], targets: Sequence[str], by: Method
) -> dict[str, Values]:
    filled = np.flatnonzero(brain.any((1, 2)))
    given, names = np.stack([volume[filled] for volume in real.values()]), tuple(real)
    made = {}
    for target in targets:
        made[target] = np.zeros(brain.shape, np.float32)
        made[target][filled] = by.run(given, names, Task(names, target), case.record, brain[filled])
    return made


def _nifti(levels: NDArray[np.uint16], spacing: NDArray[np.float64]) -> bytes:
    """Of (slice, row, column), in millimetres around the middle, with the axes of a prepared case: LPS."""
    data = levels.T
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(data.shape) - 1) / 2)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, "aligned")
    image.header.set_xyzt_units("mm")
    image.header["cal_max"] = TOP
    return bytes(image.to_bytes())


@contextmanager
def _naming(case: PreparedCase, sequence: str) -> Iterator[None]:
    """Say which volume has no picture in it."""
    try:
        yield
    except ValueError as error:
        raise BadInput(
            f"{sequence} of {case.record.dataset}/{case.record.case}: {error}",
            "an image of a brain",
            "leave the case out, or train the model longer if it is synthesized",
        ) from error
