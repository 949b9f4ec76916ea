"""The peer of benchmarks/registration.py: rigid registration by ANTsPy (`pip install antspyx`), with its defaults.

Mattes mutual information in 32 bins on a fifth of the voxels, from equal centres of mass, at four sizes (shrunk 6, 4, 2
and 1 times): ANTsPy's own settings of `type_of_transform="Rigid"`. It returns two resampled images too, which cannot be
switched off and are in its time.
"""

import tempfile

import ants
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pmmsynth.prepare.register import LPS
from pmmsynth.volume import Volume


def register(moving: Volume, fixed: Volume, region: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """4x4 in millimetres, RAS+: from the moving volume's world to the fixed volume's; same input, same result.

    Args:
        moving: The sequence to move.
        fixed: The reference.
        region: On the grid of `fixed`, where the metric is taken; everywhere without one.
    """
    ants.config.set_ants_deterministic(on=False, seed_value=1)  # "on" refuses what is not cross-correlation
    mask = None if region is None else _image(region.astype(np.float32), fixed)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(
            _image(fixed.data, fixed),
            _image(moving.data, moving),
            type_of_transform="Rigid",
            aff_metric="mattes",
            mask=mask,
            outprefix=f"{folder}/",
        )
        (file,) = found["fwdtransforms"]
        transform = sitk.ReadTransform(file)
    corners = np.array([transform.TransformPoint(corner) for corner in [*np.eye(3).tolist(), [0.0, 0.0, 0.0]]])
    matrix = np.eye(4)  # from a point of the fixed image to one of the moving image
    matrix[:3, :3], matrix[:3, 3] = (corners[:3] - corners[3]).T, corners[3]
    return LPS @ np.linalg.inv(matrix) @ LPS


def _image(data: NDArray[np.float32], volume: Volume) -> ants.ANTsImage:
    affine, spacing = LPS @ volume.affine, volume.grid.spacing
    return ants.from_numpy(data, affine[:3, 3].tolist(), spacing.tolist(), affine[:3, :3] / spacing)
