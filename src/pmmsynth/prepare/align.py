"""Sequences as they were scanned -> one brain mask and every sequence where it belongs in the reference's world."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pmmsynth.case import Scans
from pmmsynth.errors import BadInput
from pmmsynth.modality import ordered
from pmmsynth.prepare.bias import without_bias
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.register import Registration, drift, register
from pmmsynth.prepare.resample import resample
from pmmsynth.volume import Volume

REFERENCES = ("T1", "T1C", "T2", "FLAIR", "DWI")
SAME_MM = 2.0
"""Sequences on one grid stay as they are if a quick look finds no larger move: it is itself off by up to 1 mm."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """The sequences of a case in one space.

    Attributes:
        volumes: Each on its own grid, which now lies where the sequence belongs.
        lesion: Moved with the sequence on whose grid it was drawn.
        reference: The modality nothing was done to.
        brain: Its brain, on its grid.
        registrations: Of the sequences that were registered.
    """

    volumes: dict[str, Volume]
    lesion: Volume | None
    reference: str
    brain: NDArray[np.bool_]
    registrations: dict[str, Registration] = field(default_factory=dict)


def align(
    volumes: Mapping[str, Volume], scans: Scans, *, mask: Volume | None = None, lesion: Volume | None = None
) -> Aligned:
    """Find the brain in the reference, and register the other sequences to it, where `scans` says so.

    An ADC on the grid of the DWI was computed from it and goes where that goes.

    Args:
        volumes: Canonical modality name to volume.
        scans: What is left to do.
        mask: A given brain mask, on any grid of the reference's space.
        lesion: On any grid.

    Raises:
        BadInput: If there is no brain, or a sequence that fits nowhere.
    """
    names = ordered(volumes)
    reference = reference_of(names)
    fixed = volumes[reference]
    brain = _brain(fixed, reference, scans, mask)
    aligned = dict(volumes)
    registrations: dict[str, Registration] = {}
    if not scans.registered:
        for name in names:
            leader = _leader(name, volumes)
            if leader in registrations:
                registrations[name] = registrations[leader]
            elif leader == name != reference and _moves(volumes[name], fixed, brain):
                registrations[name] = register(volumes[name], fixed, brain)
        aligned |= {name: found.apply(volumes[name]) for name, found in registrations.items()}
        if lesion is not None and (drawn_on := _drawn_on(lesion, volumes, reference)) in registrations:
            lesion = registrations[drawn_on].apply(lesion)
    if scans.bias_field:
        aligned |= {
            name: without_bias(volume, _brain_on(volume, brain, fixed))
            for name, volume in aligned.items()
            if name != "ADC"
        }
    return Aligned(aligned, lesion, reference, brain, registrations)


def reference_of(modalities: Iterable[str]) -> str:
    """The sequence that stays where it is, of those given."""
    names = ordered(modalities)
    return next((m for m in REFERENCES if m in names), names[0])


def _brain(fixed: Volume, reference: str, scans: Scans, mask: Volume | None) -> NDArray[np.bool_]:
    if mask is not None:
        given = resample((mask.data > 0).astype(np.float32), mask.grid, fixed.grid, order=0) > 0
        if not given.any():
            raise BadInput(f"{mask.path}: nothing of it lies in {fixed.path}", "a mask of that brain", "check the pair")
        return given
    return brain_mask(fixed, reference) if scans.skull_stripped else extract_brain(fixed, scans.extractor)


def _leader(name: str, volumes: Mapping[str, Volume]) -> str:
    """The sequence that decides where another one goes."""
    computed = name == "ADC" and "DWI" in volumes and volumes["DWI"].grid.same_as(volumes["ADC"].grid)
    return "DWI" if computed else name


def _drawn_on(lesion: Volume, volumes: Mapping[str, Volume], reference: str) -> str:
    """The sequence whose grid a lesion mask has; the reference first, and where there is none."""
    same = [name for name in (reference, *volumes) if volumes[name].grid.same_as(lesion.grid)]
    return same[0] if same else reference


def _moves(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> bool:
    return not moving.grid.same_as(fixed.grid) or drift(moving, fixed, brain) > SAME_MM


def _brain_on(volume: Volume, brain: NDArray[np.bool_], fixed: Volume) -> NDArray[np.bool_]:
    return resample(brain.astype(np.float32), fixed.grid, volume.grid, order=0) > 0
