"""A tiny model with random weights, and brains of a known value at every point of the world, as NIfTI cases."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from pmmsynth.model import DatasetCard, ModelCard, save_model
from pmmsynth.nets import PMMSynthArchitecture
from pmmsynth.store import Intensity

MATRIX = 48
MODALITIES = ("T1", "T2", "T1C", "FLAIR", "ADC")
SCALES = {"T1": 800.0, "T2": 1200.0, "T1C": 900.0, "FLAIR": 700.0}
CENTRE = np.array([4.0, -7.0, 11.0])
RADII = np.array([16.0, 19.0, 17.0])
SHAPE, SPACING = (40, 46, 10), (1.0, 1.0, 4.0)


def mean(scale: float) -> Intensity:
    return Intensity(kind="mean", scale=scale)


def make_card(**changes: object) -> ModelCard:
    """Two datasets: A never had ADC, B never had T1C and keeps ADC in 1e-6 mm2/s."""
    one = DatasetCard(
        id=0, name="A", modalities=("T1", "T2", "T1C", "FLAIR"), intensity={m: mean(s) for m, s in SCALES.items()}
    )
    adc = Intensity(kind="physical", scale=3000.0, units="1e-6 mm2/s")
    two = DatasetCard(
        id=1, name="B", modalities=("T1", "FLAIR", "ADC"), intensity={"T1": mean(50), "FLAIR": mean(60), "ADC": adc}
    )
    fields = {
        "architecture": PMMSynthArchitecture(width=4, residual_blocks=1, embedding=8),
        "modalities": MODALITIES,
        "datasets": (one, two),
        "matrix": MATRIX,
        "inplane_mm": 1.0,
        "training": {"seed": 0, "cases": {"A": 2, "B": 2}},
        "learned": {},
    }
    return ModelCard(**(fields | changes))


def make_model(folder: Path, **changes: object) -> Path:
    """A model folder whose output depends on the sources, the place and the dataset, mostly inside (0, 1)."""
    card = make_card(**changes)
    torch.manual_seed(7)
    generator = card.build()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if "modulation" in name:
                parameter.normal_(0, 0.3)
        for decoder in generator.decoders:
            last = [p for n, p in decoder.named_parameters() if n.endswith("bias") and "modulation" not in n][-1]
            last.fill_(0.4)
            decoder.image.weight.mul_(10)  # as large as training makes it; small at the start, beside the shortcut
    save_model(folder, generator, card)
    return folder


def affine_for(
    codes: str = "RAS",
    spacing: Sequence[float] = SPACING,
    shape: Sequence[int] = SHAPE,
    degrees: Sequence[float] = (0, 0, 0),
) -> np.ndarray:
    """Axes along `codes`, turned by `degrees` about x, y, z; the phantom near the middle of the grid."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = (i for i in range(3) if i != axis)
        one = np.eye(3)
        one[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turn = one @ turn
    affine = np.eye(4)
    along = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(axcodes2ornt(tuple(codes))):
        along[int(world), axis] = sign
    affine[:3, :3] = turn @ along * np.asarray(spacing, float)
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def brain(
    modality: str = "T1",
    shape: Sequence[int] = SHAPE,
    affine: np.ndarray | None = None,
    centre: Sequence[float] = CENTRE,
    radii: Sequence[float] = RADII,
) -> np.ndarray:
    """Whole numbers, so that int16 keeps them; 0 outside an ellipsoid; not the same on both sides."""
    affine = affine_for(shape=shape) if affine is None else affine
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = np.moveaxis((points - centre) / radii, -1, 0)
    phase = MODALITIES.index(modality) if modality in MODALITIES else 9
    value = 700 + 160 * np.sin(5 * x + phase) + 120 * np.cos(4 * y + 2 * phase) + 60 * z + 200 * (np.hypot(x, y) < 0.3)
    return np.rint(value * (x**2 + y**2 + z**2 < 1)).astype(np.int16)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None, codes: tuple[int, int] = (1, 1)) -> Path:
    """NIfTI; an affine no qform can hold goes into the sform only, so that wrong ones can be written too."""
    affine = affine_for() if affine is None else affine
    image = nib.Nifti1Image(data, None)
    image.header.set_sform(affine, codes[1])
    axes = affine[:3, :3]
    if np.linalg.det(axes) and np.allclose(np.triu(axes.T @ axes, 1), 0, atol=1e-6):
        image.header.set_qform(affine, codes[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def save_case(folder: Path, modalities: Sequence[str] = ("t1", "t2"), **kind: object) -> Path:
    """A case in the plain BraTS layout."""
    names = {"t1": "T1", "t2": "T2", "t1c": "T1C", "flair": "FLAIR"}
    for name in modalities:
        save(folder / f"{name}.nii.gz", brain(names[name], **kind))
    return folder


def stored_as(data: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels in the same places of the world, the axes in another order and direction."""
    image = nib.Nifti1Image(data, affine)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))
    turned = image.as_reoriented(turn)
    return np.asarray(turned.dataobj), turned.affine
