"""Lesions painted into the healthy tissue maps: glioma, infarct, inflammatory plaques."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pmmsynth.simulate.anatomy import Atlas, Floats, millimetres, upsample
from pmmsynth.simulate.tissue import HEALTHY, LESIONS

Box = tuple[slice, ...]
Painter = Callable[[Atlas, np.random.Generator], tuple[Box, dict[str, Floats]]]
"""Atlas -> where the lesion lies and how much of each voxel there its tissues cover, painted in this order."""
CSF, WM, VESSEL = (HEALTHY.index(name) for name in ("csf", "wm", "vessel"))


def paint(atlas: Atlas, kind: str, rng: np.random.Generator) -> Floats:
    """(tissue of TISSUES, x, y, z): healthy fractions give way to the lesion's, the sum stays the same."""
    box, covers = PAINTERS[kind](atlas, rng)
    fractions = np.concatenate([atlas.fractions, np.zeros((len(LESIONS), *atlas.brain.shape), np.float32)])
    part = fractions[:, *box]  # a view
    parenchyma = part.sum(axis=0) - part[CSF] - part[VESSEL]
    for name, cover in covers.items():
        grows_through = name in ("core", "rim")  # the others stay in the tissue they are in
        share = cover * (atlas.brain[box] if grows_through else parenchyma)
        part *= 1 - share
        part[len(HEALTHY) + LESIONS.index(name)] += share
    return fractions


def labels(fractions: Floats, values: Mapping[str, int]) -> NDArray[np.uint8]:
    """The mask an expert would draw on sampled fractions: voxels at least half lesion, by their largest class.

    Args:
        fractions: (tissue of TISSUES, voxel).
        values: Lesion tissue to label; tissues not named get 1.
    """
    lesion = fractions[len(HEALTHY) :]
    drawn = np.array([values.get(name, 1) for name in LESIONS], np.uint8)[lesion.argmax(axis=0)]
    return np.where(lesion.sum(axis=0) >= 0.5, drawn, 0).astype(np.uint8)


def glioma(atlas: Atlas, rng: np.random.Generator) -> tuple[Box, dict[str, Floats]]:
    """An irregular ball: necrotic core, enhancing rim around it, oedema spreading through the white matter."""
    radius = rng.uniform(13, 21)
    reach = radius * rng.uniform(1.4, 1.9)
    centre = _voxel_of(_cerebral_white(atlas, deeper_than=0.7 * radius), rng)
    box = _box(atlas, centre, 1.7 * reach)
    part = atlas.crop(box)
    x, y, z = (a - a0 for a, a0 in zip(millimetres(part.brain.shape, part.affine), _world(atlas, centre), strict=True))
    distance = np.sqrt(x**2 + y**2 + z**2)
    shape = part.brain.shape
    inward = radius * (1 - 0.16 * _noise(shape, 12, rng) - 0.06 * _noise(shape, 5, rng)) - distance
    thickness = radius * rng.uniform(0.2, 0.35) * np.exp(0.35 * _noise(shape, 7, rng))
    white = ndimage.gaussian_filter(part.fractions[WM], 1.0)
    spread = reach * (1 - 0.15 * _noise(shape, 14, rng) - 0.06 * _noise(shape, 6, rng)) - distance - 12 * (1 - white)
    density = np.clip(0.8 + 0.15 * _noise(shape, 8, rng), 0.4, 1)
    viable = np.clip(0.9 + 0.12 * _noise(shape, 4, rng), 0.5, 1)
    return box, {
        "oedema": density * _soft(spread / 3),
        "rim": viable * _soft(inward / 1.5),
        "core": viable * _soft((inward - thickness) / 1.5),
    }


def infarct(atlas: Atlas, rng: np.random.Generator) -> tuple[Box, dict[str, Floats]]:
    """A wedge from the depth of one hemisphere to its cortex, as a branch of an artery supplies it."""
    side = rng.choice([-1.0, 1.0])
    apex = np.array([side * rng.uniform(15, 28), rng.uniform(-30, 10), rng.uniform(0, 22)])
    aim = np.array([side, rng.uniform(-1.0, 0.7), rng.uniform(-0.3, 0.7)])
    aim /= np.linalg.norm(aim)
    depth = 35.0
    middle = np.linalg.inv(atlas.affine) @ [*(apex + depth * aim), 1]
    box = _box(atlas, tuple(int(i) for i in middle[:3]), depth + 20)
    part = atlas.crop(box)
    x, y, z = (a - b for a, b in zip(millimetres(part.brain.shape, part.affine), apex, strict=True))
    along = x * aim[0] + y * aim[1] + z * aim[2]
    across = np.sqrt(np.maximum(x**2 + y**2 + z**2 - along**2, 0))
    opening = np.tan(np.radians(rng.uniform(16, 32)))
    wedge = opening * (along + 6) - across + 3.5 * _noise(part.brain.shape, 14, rng) + _noise(part.brain.shape, 5, rng)
    depth_of = np.minimum(wedge, along + 3 * _noise(part.brain.shape, 9, rng))
    density = np.clip(0.9 + 0.1 * _noise(part.brain.shape, 6, rng), 0.5, 1)
    return box, {"infarct": density * _soft(depth_of / 1.5)}


def inflammatory(atlas: Atlas, rng: np.random.Generator) -> tuple[Box, dict[str, Floats]]:
    """Eight to twenty ovoids in the white matter, most of them beside the ventricles and pointing away from them."""
    white = _cerebral_white(atlas, deeper_than=4.0)
    beside = white & _beside_ventricles(atlas)
    cover = np.zeros(atlas.brain.shape, np.float32)
    for _ in range(rng.integers(8, 21)):
        centre = _voxel_of(beside if rng.random() < 0.7 else white, rng)
        box = _box(atlas, centre, 14)
        part = atlas.crop(box)
        at = _world(atlas, centre)
        x, y, z = (a - a0 for a, a0 in zip(millimetres(part.brain.shape, part.affine), at, strict=True))
        long, short = rng.uniform(4, 9), rng.uniform(3, 5)
        size = np.sqrt((x / long) ** 2 + (y / short) ** 2 + (z / max(short, 4.0)) ** 2)
        ovoid = _soft((1 - size + 0.2 * _noise(part.brain.shape, 5, rng)) * short)
        np.maximum(cover[box], ovoid, out=cover[box])
    return (slice(0, None),) * 3, {"plaque": cover}


PAINTERS: Mapping[str, Painter] = {"glioma": glioma, "infarct": infarct, "inflammatory": inflammatory}


@cache
def _depth(atlas: Atlas) -> Floats:
    """Millimetres from each voxel to the surface of the brain, to within a few."""
    coarse = 4 * ndimage.distance_transform_edt(atlas.brain[::4, ::4, ::4])
    return np.repeat(np.repeat(np.repeat(coarse, 4, 0), 4, 1), 4, 2)[tuple(slice(0, n) for n in atlas.brain.shape)]


@cache
def _beside_ventricles(atlas: Atlas) -> NDArray[np.bool_]:
    x, y, z = millimetres(atlas.brain.shape, atlas.affine)
    ventricles = (atlas.fractions[CSF] > 0.7) & (abs(x) < 32) & (y > -50) & (y < 38) & (z > -8) & (z < 36)
    return ndimage.binary_dilation(ventricles, iterations=9)


def _cerebral_white(atlas: Atlas, deeper_than: float) -> NDArray[np.bool_]:
    """White matter above the brain stem and beside the midline, `deeper_than` mm from the surface."""
    x, y, z = millimetres(atlas.brain.shape, atlas.affine)
    cerebral = (abs(x) > 14) & (y > -85) & (z > -10) & (z < 55)
    return (atlas.fractions[WM] > 0.8) & (_depth(atlas) > deeper_than) & cerebral


def _voxel_of(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, ...]:
    inside = np.flatnonzero(mask)
    return tuple(int(i) for i in np.unravel_index(inside[rng.integers(inside.size)], mask.shape))


def _world(atlas: Atlas, voxel: tuple[int, ...]) -> Floats:
    return (atlas.affine[:3, 3] + voxel).astype(np.float32)


def _box(atlas: Atlas, centre: tuple[int, ...], half: float) -> Box:
    return tuple(
        slice(max(c - int(half), 0), min(c + int(half) + 1, n)) for c, n in zip(centre, atlas.brain.shape, strict=True)
    )


def _noise(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> Floats:
    """A smooth random field of unit standard deviation; `correlation` in mm is the spacing of its nodes."""
    field = upsample(rng.standard_normal([int(n / correlation) + 2 for n in shape]), shape)
    return field / field.std()


def _soft(depth: Floats) -> Floats:
    """0 to 1 over two millimetres around the border; `depth` in mm is positive inside."""
    return np.clip(0.5 + depth / 2, 0, 1).astype(np.float32)
