"""Smooth ellipsoid brains with a known value at every point of the world, and folders of them."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pmmsynth.volume import Grid, Volume

DIRECTIONS = {
    "R": (1, 0, 0),
    "L": (-1, 0, 0),
    "A": (0, 1, 0),
    "P": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}
CENTRE = np.array([4.0, -7.0, 11.0])
RADII = np.array([33.0, 41.0, 30.0])


def beside(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A point relative to the phantom's centre."""
    return CENTRE + np.array([x, y, z], float)


def affine_of(codes: str, spacing, shape, degrees=(0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    """Axes along `codes`, turned by `degrees` about x, y, z; the middle of the grid lies on the phantom's centre."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = [i for i in range(3) if i != axis]
        one = np.eye(3)
        one[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turn = one @ turn
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([DIRECTIONS[c] for c in codes]).T * np.asarray(spacing)
    affine[:3, 3] = CENTRE + 0.3 - affine[:3, :3] @ (np.asarray(shape) / 2)
    return affine


def world(grid: Grid) -> NDArray[np.float64]:
    """World coordinates of all voxel centres, (..., 3)."""
    points = np.moveaxis(np.indices(grid.shape), 0, -1)
    return points @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def tissue(points, phase=0.0):
    x, y, z = np.moveaxis(points, -1, 0)
    return 100 + 20 * np.sin(x / 9 + phase) + 15 * np.cos(y / 11 + phase) + 10 * np.sin(z / 7)


def phantom(shape, affine, *, centre=CENTRE, radii=RADII, phase=0.0, path=None) -> Volume:
    grid = Grid(tuple(shape), np.asarray(affine, float))
    points = world(grid)
    inside = (((points - centre) / radii) ** 2).sum(-1) < 1
    return Volume((inside * tissue(points, phase)).astype(np.float32), grid.affine, path=path)


SMALL = (40, 44, 12)
SMALL_AFFINE = affine_of("LPS", (3, 3, 6), SMALL)


def save(path: Path, data, affine=SMALL_AFFINE) -> Path:
    """Write NIfTI with the affine in the sform only, so that wrong ones can be written too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(data, np.float32), None)
    image.header.set_sform(affine, 1)
    nib.save(image, path)
    return path


def save_case(folder: Path, modalities=("t1", "t2", "flair"), *, seg=True, phase=0.0, **kind) -> None:
    """A small case in the plain BraTS layout: 40x44x12, 3x3x6 mm."""
    for number, name in enumerate(modalities):
        save(folder / f"{name}.nii.gz", phantom(SMALL, SMALL_AFFINE, phase=phase + number, **kind).data)
    if seg:
        mask = np.zeros(SMALL)
        mask[20:24, 20:25, 5:7] = 2
        save(folder / "seg.nii.gz", mask)


def cohort(folder: Path, *tables: str, head: str = "") -> Path:
    """A cohort file of `[[dataset]]` tables given as text."""
    path = folder / "cohorts.toml"
    path.write_text(head + "\n" + "".join(f"[[dataset]]\n{t}\n" for t in tables))
    return path
