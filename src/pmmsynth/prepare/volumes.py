"""Volumes of one patient -> one stack on one grid: the same function for the store and for synthesis."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pmmsynth.case import READY, Scans
from pmmsynth.errors import BadInput
from pmmsynth.modality import ordered
from pmmsynth.prepare.align import align
from pmmsynth.prepare.brain import check_negative
from pmmsynth.prepare.crop import SAME_SPACING, on_prepared, prepared_grid, share_outside
from pmmsynth.prepare.intensity import measure, to_unit
from pmmsynth.prepare.quality import alignment, coverage, few_slices, interleave, levels, solidity, unplaced
from pmmsynth.prepare.sharpness import MM, sharpness
from pmmsynth.store import Intensity
from pmmsynth.volume import Grid, Volume

MOST_CROPPED = 0.2
LEAST_OVERLAP = 0.6
"""Of the smaller of two brains; registered sequences of one patient here reach 0.9 and more."""
MOST_SLICES = 2048
"""A head at 0.15 mm; each takes as much memory as any other, however small the file that says it has so many."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """One case, prepared.

    Attributes:
        images: (modality, slice, row, column), [0, 1], 0 outside the brain; rows run to posterior, columns to left.
        modalities: What each row of `images` is.
        brain, lesion: (slice, row, column).
        labels: The lesion mask's values, likewise; 0 where they are not whole numbers below 256.
        prepared: The grid of the arrays (axes L, P, S: their transpose).
        native: The reference as it was read: the grid to return to.
        native_brain: The brain mask on that grid, in its own axis order.
        reference: Its modality.
        intensity: Per modality, the way back to the file's values.
        quality: Per modality: coverage, clipped, negative, levels, alignment, interleave, cropped; sharpness and
            anisotropy where there is brain enough; of a reference with skull solidity; of registered ones moved,
            doubt, information; lost of those whose header does not say how they lie.
        moves: Of registered modalities, the 4x4 from the world of the file to that of the reference.
    """

    images: NDArray[np.float32]
    modalities: tuple[str, ...]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    prepared: Grid
    native: Volume
    native_brain: NDArray[np.bool_]
    reference: str
    intensity: dict[str, Intensity]
    quality: dict[str, dict[str, float]]
    moves: dict[str, NDArray[np.float64]]


def prepare_volumes(
    volumes: Mapping[str, Volume],
    *,
    matrix: int = 192,
    inplane_mm: float = 1.0,
    slice_mm: float | None = None,
    scans: Scans = READY,
    mask: Volume | None = None,
    lesion: Volume | None = None,
) -> Prepared:
    """Bring the sequences of one patient onto one grid, in one interpolation, and into [0, 1].

    Args:
        volumes: Canonical modality name to volume; each on whatever grid it has.
        matrix: Pixels in plane.
        inplane_mm: Pixel size.
        slice_mm: Through-plane spacing; the reference's own when None.
        scans: What is left to do to them.
        mask: A given brain mask, any value above 0; on any grid.
        lesion: Mask, any value above 0 counts; on any grid.

    Raises:
        BadInput: If the sequences cannot be of one brain.
    """
    modalities = ordered(volumes)
    check_places(volumes, mask, lesion)
    aligned = align(volumes, scans, mask=mask, lesion=lesion)
    reference, native = aligned.reference, volumes[aligned.reference]
    quality = {name: {"levels": float(levels(volumes[name].data))} for name in modalities}
    for name in (m for m in modalities if volumes[m].is_lost):
        quality[name]["lost"] = 1.0
    volumes, lesion = aligned.volumes, aligned.lesion
    grid = prepared_grid(native.grid, aligned.brain, matrix=matrix, inplane_mm=inplane_mm, slice_mm=slice_mm)
    if grid.shape[2] > MOST_SLICES:
        raise BadInput(
            f"{native.path or reference}: {grid.shape[2]} slices",
            f"at most {MOST_SLICES}",
            "check the file and slice_mm",
        )
    cropped = share_outside(aligned.brain, native.grid, grid)
    if cropped > MOST_CROPPED:
        raise BadInput(
            f"{native.path or reference}: {cropped:.0%} of the brain outside {matrix} pixels of {inplane_mm:g} mm",
            f"at most {MOST_CROPPED:.0%}",
            "choose a larger matrix or pixel",
        )
    brain = on_prepared(aligned.brain.astype(np.float32), native.grid, grid) > 0.5
    images = np.zeros((len(modalities), *brain.shape), np.float32)
    intensity: dict[str, Intensity] = {}
    for row, name in enumerate(modalities):
        placed = on_prepared(volumes[name].data, volumes[name].grid, grid)
        check_negative(str(volumes[name].path or name), float((placed[brain] < 0).mean()))
        values = np.maximum(placed, 0) * brain
        _check_overlap(volumes[name], values > 0, name, brain, grid, native, reference)
        intensity[name] = measure(name, values[values > 0])
        quality[name] |= {
            "clipped": float((values[brain] > intensity[name].scale).mean()),
            "negative": float((placed[brain] < 0).mean()),
        }
        images[row] = to_unit(values, intensity[name])
    anatomy = images[modalities.index(reference)]
    for name, image in zip(modalities, images, strict=True):
        quality[name] |= {
            "coverage": coverage(image, brain),
            "alignment": alignment(image, anatomy, brain),
            "interleave": interleave(image, brain),
            "cropped": cropped,
        }
    if not scans.skull_stripped and mask is None:
        quality[reference]["solidity"] = solidity(brain)
    fine, fine_brain = images, brain
    if abs(inplane_mm / MM - 1) > SAME_SPACING:
        pixels = round(matrix * inplane_mm / MM)
        fine_grid = prepared_grid(native.grid, aligned.brain, matrix=pixels, inplane_mm=MM, slice_mm=slice_mm)
        fine_brain = on_prepared(aligned.brain.astype(np.float32), native.grid, fine_grid) > 0.5
        each = (to_unit(on_prepared(volumes[n].data, volumes[n].grid, fine_grid), intensity[n]) for n in modalities)
        fine = np.stack([image * fine_brain for image in each])
    chosen = few_slices(fine_brain)
    for name, image in zip(modalities, fine, strict=True):
        quality[name] |= sharpness(image[chosen], fine_brain[chosen])
    for name, found in aligned.registrations.items():
        quality[name] |= {"moved": found.moved, "doubt": found.doubt, "information": found.information}
    values = np.zeros(brain.shape, np.float32)
    if lesion is not None:
        values = on_prepared(lesion.data, lesion.grid, grid, order=0)
        if not (values > 0).any() and not on_prepared(np.ones_like(lesion.data), lesion.grid, grid, order=0).any():
            raise BadInput(
                f"{lesion.path}: nothing of it lies in {native.path}", "a mask of that brain", "check the pair"
            )
    labels = np.where((values > 0) & (values < 256) & (values % 1 == 0), values, 0).astype(np.uint8)
    moves = {name: found.matrix for name, found in aligned.registrations.items()}
    return Prepared(
        images, modalities, brain, values > 0, labels, grid, native, aligned.brain, reference, intensity, quality, moves
    )


def check_tissues(mask: Volume) -> None:
    """Refuse a mask whose values cannot each stand for a tissue, as after interpolation."""
    values = mask.data[mask.data > 0]
    odd = values[(values % 1 != 0) | (values > 255)]
    if odd.size:
        raise BadInput(
            f"{mask.path}: value {odd[0]:g}",
            "whole numbers up to 255, each of a tissue (lesion_labels)",
            "resample the mask again, by nearest neighbour",
        )


def check_places(volumes: Mapping[str, Volume], brain: Volume | None, lesion: Volume | None) -> None:
    """Refuse a sequence or mask that does not say how it lies, beside others that do or have another grid."""
    masks = {"brain mask": brain, "lesion mask": lesion}
    given = {**volumes, **{name: mask for name, mask in masks.items() if mask is not None}}
    for name, volume in given.items():
        if volume.is_lost and not all(v.is_lost and v.grid.same_as(volume.grid) for v in given.values()):
            raise BadInput(
                f"{volume.path}: {unplaced(name)}",
                "a header that does, beside other sequences",
                "copy the header from the source, or export it again",
            )


def _check_overlap(
    volume: Volume, common: NDArray[np.bool_], name: str, brain: NDArray[np.bool_], grid: Grid, native: Volume, to: str
) -> None:
    """Refuse a sequence elsewhere in the world, or whose tissue lies elsewhere than the reference's brain."""
    if not (volume.data > 0).any():
        raise BadInput(f"{volume.path or name}: no voxel above 0", "an image of a brain", "look at the image")
    pair = f"{volume.path or name} and {native.path or to}"
    if not common.any():
        raise BadInput(
            f"{pair}: no overlap between the two", "sequences in one space", "register them; check the affines"
        )
    own = (volume.data > 0).sum() * np.prod(volume.grid.spacing)
    smaller = min(own, brain.sum() * np.prod(grid.spacing))
    overlap = float(common.sum() * np.prod(grid.spacing) / smaller)
    if overlap < LEAST_OVERLAP:
        raise BadInput(
            f"{pair}: brains overlap by {overlap:.0%}, do not look like one patient or are not registered",
            f"at least {LEAST_OVERLAP:.0%}",
            "check the patient; register the sequences",
        )
