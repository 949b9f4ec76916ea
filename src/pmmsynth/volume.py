"""A 3-D image with its place in the world: NIfTI in (checked at the door) and out (complete or absent)."""

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.imageglobals import logger
from numpy.typing import NDArray

from pmmsynth.atomic import replacing
from pmmsynth.errors import BadInput

SUFFIXES = (".nii.gz", ".nii")
MOST_VOXELS, MOST_HEADER = 2**31, 2**24
"""Bytes before compression; 512 x 512 x 512 voxels of 64-bit numbers are half of the first."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie: shape and voxel-to-world affine (RAS+ millimetres, 4x4)."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel size in mm along each axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def described(self) -> str:
        """Shape, voxel size and the way the axes run, as "240x240x39, 1x1x4 mm, LPS"."""
        spacing = "x".join(f"{s:.3g}" for s in self.spacing)
        return f"{'x'.join(map(str, self.shape))}, {spacing} mm, {''.join(nib.aff2axcodes(self.affine))}"

    def same_as(self, other: "Grid", tolerance: float = 1e-3) -> bool:
        """Whether shape and affine agree (tolerance in mm)."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=tolerance))


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values and their grid; `header` keeps what a faithful copy needs (sform, qform, codes, units)."""

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header = field(default_factory=nib.Nifti1Header, repr=False)
    path: Path | None = None

    @property
    def grid(self) -> Grid:
        return Grid(self.data.shape, self.affine)


def read_volume(path: Path, *, constant_ok: bool = False) -> Volume:
    """Read one 3-D NIfTI volume as float32.

    A trailing axis of length one is dropped. NaN and infinite voxels, a constant image, a sheared or degenerate
    affine, a file that is cut short or not NIfTI are refused.

    Args:
        path: `.nii` or `.nii.gz`.
        constant_ok: Accept an image with a single value (an empty lesion mask).

    Raises:
        BadInput: Says what is wrong with the file and what to do.
    """
    if not path.is_file():
        raise BadInput(f"no file at {path}", "a NIfTI volume", "check the path")
    if not path.name.lower().endswith(SUFFIXES):
        raise BadInput(f"{path}: not a .nii or .nii.gz name", "a NIfTI volume", "convert it to NIfTI first")
    try:
        with _quiet():
            image = _load(path)
        shape = image.shape
        if len(shape) < 3 or any(n != 1 for n in shape[3:]):
            raise BadInput(f"{path}: {len(shape)}-D, shape {shape}", "one 3-D volume", "extract one volume first")
        kind = image.get_data_dtype()
        if kind.kind not in "iuf":
            raise BadInput(f"{path}: voxels of type {kind}", "one real number a voxel", "export the magnitude image")
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except BadInput:
        raise
    except Exception as error:  # a file from elsewhere may make its readers raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"{path}: not readable ({reason})", "a complete NIfTI volume", "copy or export it again"
        ) from error
    _check_values(path, data, constant_ok)
    affine = np.asarray(image.affine, dtype=np.float64)
    _check_affine(path, affine)
    return Volume(data, affine, image.header.copy(), path)


def _load(path: Path) -> nib.Nifti1Image:
    """The image of a file: read to its end, where gzip compares the checksum, but not beyond what its header says."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        content = bytearray(file.read(nib.Nifti2Header.template_dtype.itemsize))
        kind = nib.Nifti2Image if nib.Nifti2Header.may_contain_header(bytes(content)) else nib.Nifti1Image
        header = kind.header_class(bytes(content[: kind.header_class.template_dtype.itemsize]))
        size = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
        offset = int(header["vox_offset"])
        if offset > MOST_HEADER or size > MOST_VOXELS:
            raise ValueError(f"says it has {size} bytes of voxels after {offset} of header")
        while part := file.read(2**20):
            content += part
            if len(content) > offset + size + MOST_HEADER:
                raise ValueError(f"goes on after its {size} bytes of voxels")
    if len(content) < offset + size:
        raise ValueError(f"ends after {len(content)} of {offset + size} bytes")
    return kind.from_bytes(bytes(content))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without nibabel's own lines on stderr: what is wrong with a file is said once, and by us."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def write_volume(path: Path, data: NDArray[np.generic], like: Volume, description: str) -> None:
    """Write `data` on the grid of `like`: same affine, sform and qform with their codes; complete or absent.

    Args:
        path: Where to; folders are made.
        data: Same shape as `like`, any real dtype; stored as it is, without scaling.
        like: The volume whose geometry is kept.
        description: At most 79 characters for the NIfTI `descrip` field.
    """
    if data.shape != like.data.shape:
        raise ValueError(f"data {data.shape} and grid {like.data.shape} differ")
    header = like.header.copy()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_slope_inter(1.0, 0.0)
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header.extensions.clear()  # they may describe the patient, as may all fields of free text
    for field_name in {"db_name", "aux_file", "intent_name"} & set(header.keys()):
        header[field_name] = b""
    image = nib.Nifti1Image(data, like.affine, header)  # leaves sform and qform alone when they agree with the affine
    with replacing(path) as temporary:
        nib.save(image, temporary)


def _check_values(path: Path, data: NDArray[np.float32], constant_ok: bool) -> None:
    if data.size == 0:
        raise BadInput(f"{path}: no voxels, shape {data.shape}", "a 3-D volume", "export it again")
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise BadInput(f"{path}: {bad} NaN or infinite voxels", "finite values", "find the step that made them")
    if not constant_ok and data.min() == data.max():
        raise BadInput(f"{path}: every voxel is {data.flat[0]:g}", "an image", "remove the empty file")


def _check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Columns must be orthogonal (no shear) and of a length a scanner can make."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or (spacing < 1e-3).any() or (spacing > 100).any():
        raise BadInput(
            f"{path}: voxel size {np.round(spacing, 4).tolist()} mm", "between 0.001 and 100 mm", "repair the header"
        )
    directions = affine[:3, :3] / spacing
    shear = float(np.abs(directions.T @ directions - np.eye(3)).max())
    if shear > 1e-2:
        raise BadInput(
            f"{path}: sheared affine (axes off a right angle by {shear:.3f})",
            "orthogonal axes",
            "resample it to an orthogonal grid first",
        )
