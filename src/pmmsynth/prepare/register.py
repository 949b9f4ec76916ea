"""Rigid registration of one sequence to another: Mattes mutual information from coarse to fine (SimpleITK).

What comes out is a move of the whole volume in the world. Put into its affine it costs no interpolation: the one from
native voxels to the prepared grid stays the only one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.errors import BadInput, is_of_memory
from pmmsynth.volume import Volume

LEVELS = ((1.5, 40_000, 0.8), (3.0, 20_000, 0.6), (6.0, 8_000, 0.6))
"""The pyramid: voxel size in mm along axes that are finer than that, points where the metric is taken, and by how much
the optimizer shortens its steps when it overshoots."""
TILT = 0.2
"""Radians about each axis, either way: where the coarsest level starts from besides the header's pose."""
KEPT, MM_APART = 3, 3.0
"""So many poses of the coarsest level are refined, if they differ by so much."""
NUDGE = (0.03, -0.03, 0.03, 1.5, -1.5, 1.5)
"""Radians and millimetres: where the finest level starts from the second time."""
BINS, STEPS = 32, 200
MARGIN_MM = 8.0
"""Around the reference's brain, where the finer levels take the metric too: edge and fluid tell most."""
AIR_MM = 40.0
"""Of zeros around the moving image: outside its field of view it has no tissue, rather than no say."""
BRIGHTEST = 0.99
"""Quantile of the positive voxels at which both images are clipped: a few bright vessels would take most bins."""
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Between the world of NIfTI and that of ITK."""
FEWEST_TO_SMOOTH = 4
"""Voxels along an axis that the recursive filter needs; a partial series may have fewer slices."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where a sequence belongs.

    Attributes:
        matrix: 4x4 in millimetres, RAS+: from the world of the moving volume's header to that of the fixed volume.
        information: Mutual information reached, in nats.
        moved: How far the sequence was moved, in mm, mean over the brain.
        doubt: How far the results of two starts lie apart, in mm, mean over the brain: what not to trust.
    """

    matrix: NDArray[np.float64]
    information: float
    moved: float
    doubt: float

    def apply(self, volume: Volume) -> Volume:
        """The same voxels where they belong."""
        return replace(volume, affine=self.matrix @ volume.affine)


def register(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> Registration:
    """Find the rigid move that brings one sequence of a patient onto another; same input, same result.

    Args:
        moving: The sequence to move: any contrast, any grid, with skull or without.
        fixed: The reference.
        brain: Of the reference, on its grid.

    Raises:
        BadInput: If there is nothing in the moving sequence.
    """
    fine, middle, coarse = _pyramid(moving, fixed, brain)
    inside = _Points.of(brain, fixed)
    found = coarse.optimize(_starts(moving, fixed, inside))
    different: list[_Found] = []
    for one in found:
        if all(inside.apart(one.pose, other.pose) > MM_APART for other in different):
            different.append(one)
    best = middle.optimize(one.pose for one in different[:KEPT])[0].pose
    nudged = inside.pose(np.add(best.GetParameters(), NUDGE))
    first, second = fine.optimize([best, nudged])
    return Registration(
        matrix=LPS @ np.linalg.inv(_matrix(first.pose)) @ LPS,  # ITK maps fixed points to moving ones
        information=-first.cost,
        moved=inside.apart(first.pose, inside.pose(np.zeros(6))),
        doubt=inside.apart(first.pose, second.pose),
    )


def drift(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> float:
    """How far a quick look from the header's pose would move a sequence: mm, mean over the brain; arguments as above.

    Off by up to 1 mm itself; 0 where the two do not meet.
    """
    _, middle, _ = _pyramid(moving, fixed, brain)
    inside = _Points.of(brain, fixed)
    header = inside.pose(np.zeros(6))
    (found,) = middle.optimize([header])
    return inside.apart(found.pose, header)


@dataclass(frozen=True, eq=False)
class _Found:
    cost: float
    pose: sitk.Euler3DTransform


@dataclass(frozen=True, eq=False)
class _Points:
    """Some points of the fixed brain, in ITK's world, and poses that turn about their middle."""

    points: NDArray[np.float64]

    @classmethod
    def of(cls, brain: NDArray[np.bool_], fixed: Volume) -> "_Points":
        index = np.argwhere(brain)
        index = index[:: max(1, len(index) // 2000)]
        return cls((index @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]) @ LPS[:3, :3])

    def pose(self, parameters: NDArray[np.float64]) -> sitk.Euler3DTransform:
        """From three angles in radians and three shifts in mm."""
        pose = sitk.Euler3DTransform()
        pose.SetCenter(self.points.mean(0).tolist())
        pose.SetParameters(parameters.tolist())
        return pose

    def apart(self, one: sitk.Euler3DTransform, other: sitk.Euler3DTransform) -> float:
        """Mean distance between where two poses put the points, in mm."""
        first, second = (self.points @ m[:3, :3].T + m[:3, 3] for m in (_matrix(one), _matrix(other)))
        return float(np.linalg.norm(first - second, axis=1).mean())


@dataclass(frozen=True, eq=False)
class _Level:
    """Both images at one voxel size, and where the metric is taken: the whole head where there is no region."""

    mm: float
    points: int
    patience: float
    fixed: sitk.Image
    moving: sitk.Image
    region: sitk.Image | None

    def optimize(self, starts: Iterable[sitk.Euler3DTransform]) -> list[_Found]:
        """Follow each start to its optimum; the best first. Where the images do not meet, the information is 0."""
        return sorted((self._follow(start) for start in starts), key=lambda found: found.cost)

    def _follow(self, start: sitk.Euler3DTransform) -> _Found:
        search = sitk.ImageRegistrationMethod()
        search.SetNumberOfThreads(1)
        search.SetNumberOfWorkUnits(1)  # sums in one order, the same on every machine; cases run in parallel instead
        search.SetMetricAsMattesMutualInformation(BINS)
        count = self.fixed.GetNumberOfPixels()
        if self.region:
            search.SetMetricFixedMask(self.region)
            count = int(sitk.GetArrayViewFromImage(self.region).sum())
        search.SetMetricSamplingStrategy(search.RANDOM)  # off the voxel centres, where interpolation leaves no trace
        search.SetMetricSamplingPercentage(min(1.0, self.points / max(1, count)), 1)
        search.SetInterpolator(sitk.sitkLinear)
        search.MetricUseFixedImageGradientFilterOff()  # gradients where they are asked for, not of whole images
        search.MetricUseMovingImageGradientFilterOff()
        search.SetOptimizerAsRegularStepGradientDescent(self.mm / 2, self.mm * 2e-3, STEPS, self.patience, 1e-8)
        search.SetOptimizerScalesFromPhysicalShift()
        pose = sitk.Euler3DTransform(start)
        search.SetInitialTransform(pose, inPlace=True)
        try:
            search.Execute(self.fixed, self.moving)
        except RuntimeError as error:  # all points outside the moving image and its air
            if is_of_memory(error):
                raise
            return _Found(0.0, start)
        return _Found(search.GetMetricValue(), pose)


def _starts(moving: Volume, fixed: Volume, inside: _Points) -> list[sitk.Euler3DTransform]:
    """The header's pose and the one with equal centres of brightness, upright and tilted about each axis."""
    shift = _middle(moving) - _middle(fixed)
    tilts = [np.zeros(3), *(sign * TILT * axis for axis in np.eye(3) for sign in (-1, 1))]
    return [inside.pose(np.concatenate([tilt, move])) for move in (np.zeros(3), shift) for tilt in tilts]


def _middle(volume: Volume) -> NDArray[np.float64]:
    """Centre of brightness, in ITK's world."""
    return (LPS @ volume.affine @ [*ndimage.center_of_mass(_clipped(volume.data)), 1])[:3]


def _pyramid(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> list[_Level]:
    """From fine to coarse; the coarsest without a region, since the outline of a head is what cannot be mistaken."""
    if not (moving.data > 0).any():
        raise BadInput(f"{moving.path}: no voxel above 0", "an image of a head", "look at the image")
    mask = _image(brain.astype(np.uint8), fixed)
    images = [_image(_clipped(volume.data), volume) for volume in (fixed, moving)]
    levels: list[_Level] = []
    for mm, points, patience in LEVELS:
        images = [_coarser(image, mm) for image in images]
        air = [int(np.ceil(AIR_MM / spacing)) for spacing in images[1].GetSpacing()]
        near = _grown(sitk.Resample(mask, images[0], sitk.Transform(), sitk.sitkNearestNeighbor))
        levels.append(_Level(mm, points, patience, images[0], sitk.ConstantPad(images[1], air, air), near))
    return [*levels[:-1], replace(levels[-1], region=None)]


def _grown(mask: sitk.Image) -> sitk.Image:
    """The mask and MARGIN_MM around it."""
    away = ndimage.distance_transform_edt(sitk.GetArrayViewFromImage(mask) == 0, sampling=mask.GetSpacing()[::-1])
    grown = sitk.GetImageFromArray((away < MARGIN_MM).astype(np.uint8))
    grown.CopyInformation(mask)
    return grown


def _clipped(data: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(data, 0, np.quantile(data[data > 0], BRIGHTEST))


def _image(data: NDArray[np.generic], volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
    affine, spacing = LPS @ volume.affine, volume.grid.spacing
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _coarser(image: sitk.Image, mm: float) -> sitk.Image:
    """Smoothed and sampled at `mm` along the axes that are finer."""
    old, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    new = np.maximum(old, mm)
    if (new < 1.01 * old).all():
        return image
    width = np.sqrt(new**2 - old**2) / 2.355
    for axis in np.flatnonzero((width > 0.01 * old) & (size >= FEWEST_TO_SMOOTH)):
        smooth = sitk.RecursiveGaussianImageFilter()
        smooth.SetDirection(int(axis))
        smooth.SetSigma(float(width[axis]))
        smooth.SetNumberOfThreads(1)
        image = smooth.Execute(image)
    count = np.maximum(1, np.ceil(size * old / new - 1e-6)).astype(int)
    first = ((size - 1) * old - (count - 1) * new) / 2  # about the same middle
    origin = image.TransformContinuousIndexToPhysicalPoint((first / old).tolist())
    return sitk.Resample(
        image, count.tolist(), sitk.Transform(), sitk.sitkLinear, origin, new.tolist(), image.GetDirection()
    )


def _matrix(pose: sitk.Euler3DTransform) -> NDArray[np.float64]:
    """4x4, from a point of the fixed image to one of the moving image."""
    matrix, centre = np.eye(4), np.array(pose.GetCenter())
    matrix[:3, :3] = np.reshape(pose.GetMatrix(), (3, 3))
    matrix[:3, 3] = pose.GetTranslation() + centre - matrix[:3, :3] @ centre
    return matrix
