"""Healthy anatomy: tissue fractions from the MNI ICBM152 maps nilearn ships, and one person's deformation of them."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.simulate.tissue import HEALTHY, TISSUES
from pmmsynth.volume import Grid

Floats = NDArray[np.float32]
CENTRE = np.array([0.0, -20.0, 8.0])
"""Centre of the MNI brain in millimetres."""
LATTICE = 4
"""Millimetres between the nodes of the smooth displacement and texture fields (the maps have 1 mm)."""
MARGIN = 3
"""How far from the undeformed brain its voxels are looked for, in steps of 4 mm."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """`fractions` (tissue, x, y, z): the healthy tissues in each 1 mm voxel, sum 1 in the brain and 0 outside."""

    fractions: Floats
    affine: NDArray[np.float64]

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        return self.fractions.sum(axis=0) > 0.5

    def crop(self, box: tuple[slice, ...]) -> "Atlas":
        """The part inside a box of voxels."""
        affine = self.affine.copy()
        affine[:3, 3] += [s.start for s in box]
        return Atlas(self.fractions[:, *box], affine)


@cache
def load_atlas() -> Atlas:
    """The template; the T1 image sharpens the probability maps, which by themselves are an average of many people."""
    mask = load_mni152_brain_mask(resolution=1)
    brain = np.asarray(mask.dataobj) > 0
    edges = [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {k})))[[0, -1]] for k in range(3)]
    box = tuple(slice(max(int(low) - 2, 0), int(high) + 3) for low, high in edges)
    brain = brain[box]
    t1, gm, wm = (
        load(resolution=1).get_fdata(dtype=np.float32)[box]
        for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    affine = mask.affine.copy()
    affine[:3, 3] += [s.start for s in box]
    prior = np.stack([np.clip(1 - gm - wm, 0, 1), gm, wm])
    prior /= prior.sum(axis=0)
    dark, middle, bright = (float(np.median(t1[brain & (p > 0.9)])) for p in prior)
    seen_wm = np.clip((t1 - middle) / (bright - middle), 0, 1)
    seen_csf = np.clip((middle - t1) / (middle - dark), 0, 1)
    csf, gm, wm = 0.5 * prior + 0.5 * np.stack([seen_csf, 1 - seen_csf - seen_wm, seen_wm])
    x, y, z = millimetres(t1.shape, affine)
    nuclei = np.clip(3 * (1 - (x / 36) ** 2 - ((y + 4) / 32) ** 2 - ((z - 4) / 20) ** 2), 0, 1).astype(np.float32)
    vessel = np.clip(_filaments(t1.shape) * 3 * csf * (1 - nuclei), 0, csf)
    fractions = np.stack([csf - vessel, gm * (1 - nuclei), wm, gm * nuclei, vessel]) * brain
    assert len(fractions) == len(HEALTHY)
    return Atlas(fractions, affine)


def millimetres(shape: tuple[int, ...], affine: NDArray[np.float64]) -> tuple[Floats, Floats, Floats]:
    """Open coordinate grids of a 1 mm grid with axes right, anterior, superior."""
    x, y, z = np.ogrid[tuple(slice(0, n) for n in shape)]
    right, anterior, superior = affine[:3, 3].astype(np.float32)
    return x + right, y + anterior, z + superior


def _filaments(shape: tuple[int, ...]) -> Floats:
    """Thin curved lines (where two smooth random fields are both zero), the same for everybody: vessels."""
    rng = np.random.default_rng(0)
    coarse = tuple(n // 6 + 1 for n in shape)
    a, b = (upsample(rng.standard_normal(coarse), shape) for _ in range(2))
    return np.clip(1 - (a**2 + b**2) / 0.05, 0, 1)


def upsample(values: NDArray[np.floating], shape: tuple[int, ...]) -> Floats:
    """A smooth field of `shape` through the nodes of a coarse lattice."""
    for axis, n in enumerate(shape):
        m = values.shape[axis]  # cubic splines are separable: a small matrix per axis
        spline = ndimage.zoom(np.eye(m), (n / m, 1), order=3, grid_mode=True, mode="nearest")
        values = np.moveaxis(np.tensordot(spline.astype(np.float32), values, (1, axis)), 0, axis)
    return np.ascontiguousarray(values, np.float32)


@dataclass(frozen=True, eq=False)
class Sampled:
    """A head as one scan sees it: tissue fractions and texture of the voxels inside the brain.

    Attributes:
        inside: Which voxels of the grid are brain.
        fractions: (tissue of TISSUES, brain voxel), sum 1.
        texture: (2, brain voxel): smooth local deviation of ln T1 and ln T2 from the tissue's value, in units of one
            standard deviation.
        points: (3, brain voxel): position relative to the brain's centre, about -1 to 1.
    """

    inside: NDArray[np.bool_]
    fractions: Floats
    texture: Floats
    points: Floats


@dataclass(frozen=True, eq=False)
class Head:
    """One person: painted tissue maps in atlas space and the way from the scanner's world into it.

    Attributes:
        fractions: (tissue of TISSUES, x, y, z) on the atlas grid.
        to_atlas: World millimetres -> atlas voxels, 4x4: position and size of the head.
        displacement: (3, lattice): smooth deformation in atlas voxels, on nodes `LATTICE` apart.
        texture: (2, lattice): smooth fields for ln T1 and ln T2.
    """

    fractions: Floats
    to_atlas: NDArray[np.float64]
    displacement: Floats
    texture: Floats

    def sample(self, grid: Grid) -> Sampled:
        """Tissue fractions on `grid`; slices thicker than 2 mm are the mean of thin ones."""
        to_atlas = (self.to_atlas @ grid.affine).astype(np.float32)
        coarse = np.pad(self.fractions[:, ::4, ::4, ::4].sum(axis=0) > 0.2, MARGIN)
        near = ndimage.binary_dilation(coarse, iterations=MARGIN)
        index = _near_brain(grid.shape, to_atlas, near)
        thin = max(1, round(float(grid.spacing[2]) / 2)) if grid.spacing[2] > 2.0 else 1
        fractions = np.zeros((len(TISSUES), index.shape[1]), np.float32)
        for offset in (np.arange(thin) + 0.5) / thin - 0.5:
            moved = index.astype(np.float32)
            moved[2] += offset
            at = to_atlas[:3, :3] @ moved + to_atlas[:3, 3:]
            at += np.stack([_interpolate(d, at / LATTICE, "nearest") for d in self.displacement])
            for row, tissue in zip(fractions, self.fractions, strict=True):
                if tissue.any():
                    row += _interpolate(tissue, at) / thin
        total = fractions.sum(axis=0)
        keep = total > 0.5
        index, at = index[:, keep], at[:, keep]
        inside = np.zeros(grid.shape, bool)
        inside[tuple(index)] = True
        texture = np.stack([_interpolate(t, at / LATTICE, "nearest") for t in self.texture])
        points = (at - np.array(self.fractions.shape[1:], np.float32)[:, None] / 2) / 80
        return Sampled(inside, fractions[:, keep] / total[keep], texture, points.astype(np.float32))


def _near_brain(shape: tuple[int, int, int], to_atlas: Floats, near: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices (3, n) of the voxels near the undeformed brain, in C order; slab by slab to keep memory small."""
    found = []
    plane = np.indices((1, *shape[1:])).reshape(3, -1)
    for i in range(shape[0]):
        index = plane + np.array([[i], [0], [0]])
        nearest = np.rint((to_atlas[:3, :3] @ index.astype(np.float32) + to_atlas[:3, 3:]) / 4).astype(np.intp) + MARGIN
        valid = ((nearest >= 0) & (nearest < np.array(near.shape)[:, None])).all(axis=0)
        index, nearest = index[:, valid], nearest[:, valid]
        found.append(index[:, near[tuple(nearest)]])
    return np.concatenate(found, axis=1)


def _interpolate(values: Floats, at: NDArray[np.floating], mode: str = "constant") -> Floats:
    return ndimage.map_coordinates(values, at, order=1, output=np.float32, mode=mode)


def grow_head(fractions: Floats, centre: NDArray[np.float64], rng: np.random.Generator) -> Head:
    """A person around painted tissue maps: size, proportions and a smooth deformation of a few millimetres.

    Args:
        fractions: (tissue of TISSUES, x, y, z) on the atlas grid.
        centre: Where the middle of the brain lies in the scanner's world, mm.
        rng: The person's random numbers.
    """
    atlas = load_atlas()
    scale = np.exp(0.035 * rng.standard_normal() + 0.025 * rng.standard_normal(3))
    world_to_mni = np.eye(4)
    world_to_mni[:3, :3] = np.diag(1 / scale)
    world_to_mni[:3, 3] = CENTRE - centre / scale
    lattice = tuple(n // LATTICE + 2 for n in fractions.shape[1:])
    nodes = tuple(n // 36 + 2 for n in fractions.shape[1:])
    displacement = np.stack([3.4 * upsample(np.clip(rng.standard_normal(nodes), -2, 2), lattice) for _ in range(3)])
    texture = np.stack([ndimage.gaussian_filter(rng.standard_normal(lattice), 0.6) for _ in range(2)])
    texture /= texture.std(axis=(1, 2, 3), keepdims=True)
    return Head(fractions, np.linalg.inv(atlas.affine) @ world_to_mni, displacement, texture.astype(np.float32))
