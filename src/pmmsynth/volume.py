"""A 3-D image with its place in the world: NIfTI in (checked at the door) and out (complete or absent)."""

import gzip
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import BinaryIO, Literal, cast

import nibabel as nib
import numpy as np
from nibabel.imageglobals import logger
from nibabel.nifti1 import xform_codes
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from numpy.typing import NDArray

from pmmsynth.atomic import naming, replacing, sha256
from pmmsynth.errors import BadInput, is_of_machine

SUFFIXES = (".nii.gz", ".nii")
MOST_VOXELS, MOST_HEADER = 2**31, 2**24
"""Bytes before compression, and of the voxels as 32-bit numbers; a brain at 0.25 mm fits."""
MOST_AFTER = 2**12
"""Bytes after the voxels, less than what somebody may have wanted to say with them."""
MARK = "SYNTHETIC"
"""How the description in the header of a synthetic image begins."""
LEAST_SPACING, MOST_SPACING, MOST_MM, MOST_VALUE = 0.004, 100, 1e4, 1e30
"""In mm, of a voxel, and from the origin of the world to the first one; and of its value, as of its inverse."""


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

    @property
    def is_lost(self) -> bool:
        """Whether its file does not say how it lies: its place, left and right included, is a guess of the reader."""
        return self.path is not None and not self.header["sform_code"] and not self.header["qform_code"]


def read_volume(path: Path, *, constant_ok: bool = False) -> Volume:
    """Read one 3-D NIfTI volume as float32.

    A trailing axis of length one is dropped. NaN, infinite and absurd values, a constant image, a sheared or degenerate
    affine, a header that contradicts itself, a file that is cut short, goes on or is not NIfTI are refused.

    Args:
        path: `.nii` or `.nii.gz`.
        constant_ok: Accept an image of nothing but 0 (an empty lesion mask).

    Raises:
        BadInput: Says what is wrong with the file and what to do.
    """
    check_place(path)
    with _reading(path), _opened(path) as file:
        header, start = _header(file)
        shape, kind = header.get_data_shape(), header.get_data_dtype()
        if len(shape) < 3 or any(n != 1 for n in shape[3:]):
            raise BadInput(f"{path}: {len(shape)}-D, shape {shape}", "one 3-D volume", "extract one volume first")
        if kind.kind not in "iuf":
            raise BadInput(f"{path}: voxels of type {kind}", "one real number a voxel", "export the magnitude image")
        if min(shape) < 1:
            raise BadInput(f"{path}: no voxels, shape {shape}", "a 3-D volume", "export it again")
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        _check_affine(path, affine)
        data = _voxels(header, start, file)
    _check_values(path, data, constant_ok)
    return Volume(data, affine, header, path)


def read_sequence(path: Path) -> Volume:
    """As `read_volume`, of an image that was acquired. Raises BadInput, also where the header says it is synthetic."""
    volume = read_volume(path)
    _check_acquired(path, volume)
    return volume


def as_sequence(volume: Volume, name: str) -> Volume:
    """A volume made in Python as `read_sequence` would give it. Raises BadInput likewise."""
    place = str(volume.path or name)
    if volume.data.ndim != 3 or volume.data.dtype.kind not in "iuf":
        raise BadInput(f"{place}: {volume.data.dtype} of shape {volume.data.shape}", "real numbers, 3-D", "convert it")
    volume = replace(volume, data=volume.data.astype(np.float32, copy=False))
    _check_affine(place, volume.affine)
    _check_values(place, volume.data, constant_ok=False)
    _check_acquired(place, volume)
    return volume


def _check_acquired(place: Path | str, volume: Volume) -> None:
    if volume.header["descrip"].item().startswith(MARK.encode()):
        said = f"{place}: a synthetic image, as its header says"
        raise BadInput(said, "an acquired one", "leave it out")


def shape_of(path: Path) -> tuple[int, ...]:
    """What the header of a file says, of as many axes as it has. Raises BadInput if it says nothing."""
    check_place(path)
    with _reading(path), _opened(path) as file:
        return _header(file)[0].get_data_shape()


def check_place(path: Path) -> None:
    """Refuse what is no ordinary file: opening a pipe or a device would wait for ever. Raises BadInput."""
    if not path.is_file():
        found = f"{path}: a folder, pipe or device" if path.exists() else f"no file at {path}"
        raise BadInput(found, "a NIfTI volume", "check the path")
    if not path.name.lower().endswith(SUFFIXES):
        raise BadInput(f"{path}: not a .nii or .nii.gz name", "a NIfTI volume", "convert it to NIfTI first")


def digests_of(images: Mapping[str, Path], masks: Mapping[str, Path | None]) -> dict[str, str]:
    """sha256 of the files of a case, by name.

    Raises:
        BadInput: If one is no ordinary file, or two of the images are one.
    """
    files = {**images, **{name: path for name, path in masks.items() if path}}
    for path in files.values():
        check_place(path)
    digests = {name: sha256(path) for name, path in files.items()}
    for one, other in combinations(images, 2):
        if digests[one] == digests[other]:
            raise BadInput(
                f"{images[other]}: {one} and {other} are one image", "an image of each", "give each its own file"
            )
    return digests


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Any error becomes one of the file, which may make its readers raise anything, unless the machine is at fault."""
    try:
        with _quiet(), np.errstate(all="ignore"):
            yield
    except BadInput:
        raise
    except Exception as error:
        if is_of_machine(error):
            with naming(path):
                raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "check its permissions" if isinstance(error, PermissionError) else "copy or export it again"
        raise BadInput(f"{path}: not readable ({reason})", "a complete NIfTI volume", remedy) from error


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _header(file: BinaryIO) -> tuple[nib.Nifti1Header, bytes]:
    """The header, if it agrees with itself, and what was read of the file for it; extensions are left alone."""
    start = file.read(nib.Nifti2Header.template_dtype.itemsize)
    is_second = nib.Nifti2Header.may_contain_header(start)
    kind: type[nib.Nifti1Header] = nib.Nifti2Header if is_second else nib.Nifti1Header
    if len(start) < kind.sizeof_hdr:
        raise ValueError(f"ends after {len(start)} of {kind.sizeof_hdr} bytes of header")
    order: Literal["little", "big"] = "big" if start[0] == 0 else "little"
    header = kind(start[: kind.sizeof_hdr], order, check=False)
    if header["magic"] != kind.single_magic or header["sizeof_hdr"] != kind.sizeof_hdr:
        raise ValueError("does not begin with the header of a single NIfTI file")
    if not 0 < header["dim"][0] <= 7:
        raise ValueError(f"says it has {header['dim'][0]} axes")
    if not kind.single_vox_offset <= header["vox_offset"] <= MOST_HEADER:
        raise ValueError(f"says its voxels begin at byte {header['vox_offset']:g}")
    if np.isinf(header["scl_slope"]):  # 0 and NaN: not scaled
        raise ValueError(f"says its values are scaled by {header['scl_slope']:g}")
    for name in ("sform_code", "qform_code"):
        if int(header[name]) not in xform_codes.value_set():
            raise ValueError(f"says {name} {header[name]}, which means nothing")
    sizes = header["pixdim"][1:4]
    if not header["sform_code"] and not (sizes > 0).all():  # else they decide nothing
        raise ValueError(f"says its voxels measure {sizes.tolist()} mm")
    header.check_fix(error_level=40)
    _check_handedness(header)
    return header, start


def _check_handedness(header: nib.Nifti1Header) -> None:
    """Left and right must not depend on which of its two places a program reads."""
    if not (header["sform_code"] and header["qform_code"]):
        return
    try:
        forms = header.get_sform(), header.get_qform()
    except (ValueError, HeaderDataError):  # a broken qform decides nothing beside an sform
        return
    if np.linalg.det(forms[0][:3, :3]) * np.linalg.det(forms[1][:3, :3]) < 0:
        raise ValueError("says by its sform that left is where its qform says right is")


def _voxels(header: nib.Nifti1Header, start: bytes, file: BinaryIO) -> NDArray[np.float32]:
    """The values: read to the end of the file, where gzip compares the checksum, but not beyond what it says it has."""
    shape, kind, offset = header.get_data_shape()[:3], header.get_data_dtype(), int(header["vox_offset"])
    count = math.prod(shape)
    end = offset + count * kind.itemsize
    if count * max(kind.itemsize, 4) > MOST_VOXELS:
        raise ValueError(f"says it has {count} voxels")
    content = bytearray(start)
    while len(content) < end and (more := file.read(min(2**20, end - len(content)))):
        content += more
    if len(content) < end:
        raise ValueError(f"ends after {len(content)} of {end} bytes")
    if len(file.read(MOST_AFTER + 1)) > MOST_AFTER:
        raise ValueError(f"goes on after its {end} bytes")
    stored, data = np.frombuffer(content, kind, count, offset), np.empty(count, np.float32)
    for first in range(0, count, 2**20):  # scaled by 64-bit numbers: for all at once they take most of the memory
        part = slice(first, first + 2**20)
        data[part] = apply_read_scaling(stored[part], *header.get_slope_inter())
    return data.reshape(shape, order="F")


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
    header.set_data_offset(0)  # right behind the header
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header.extensions.clear()  # they may describe the patient, as may all fields of free text
    for field_name in {"data_type", "unused_str", "db_name", "aux_file", "intent_name"} & set(header.keys()):
        header[field_name] = b""
    kind: type[nib.Nifti1Image] = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(data, like.affine, header)  # leaves sform and qform alone when they agree with the affine
    with replacing(path) as temporary:
        nib.save(image, temporary)


def _check_values(path: Path | str, data: NDArray[np.float32], constant_ok: bool) -> None:
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise BadInput(f"{path}: {bad} NaN or infinite voxels", "finite values", "find the step that made them")
    low, high = float(data.min()), float(data.max())
    if low == high and (low or not constant_ok):
        raise BadInput(f"{path}: every voxel is {low:g}", "an image", "remove the empty file")
    largest = max(-low, high)
    if largest and not 1 / MOST_VALUE < largest < MOST_VALUE:
        raise BadInput(
            f"{path}: values up to {largest:g}", f"{1 / MOST_VALUE:g} to {MOST_VALUE:g}", "correct their scale"
        )


def _check_affine(path: Path | str, affine: NDArray[np.float64]) -> None:
    """Columns must be orthogonal (no shear) and of a length a scanner can make, the first voxel not far from here."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((spacing >= LEAST_SPACING) & (spacing <= MOST_SPACING)).all():
        raise BadInput(
            f"{path}: voxel size {np.round(spacing, 4).tolist()} mm",
            f"between {LEAST_SPACING:g} and {MOST_SPACING:g} mm",
            "repair the header, whose unit may not be mm",
        )
    directions = affine[:3, :3] / spacing
    shear = float(np.abs(directions.T @ directions - np.eye(3)).max())
    if shear > 1e-2:
        raise BadInput(
            f"{path}: sheared affine (axes off a right angle by {shear:.3f})",
            "orthogonal axes",
            "resample it to an orthogonal grid first",
        )
    if not (np.abs(affine[:3, 3]) <= MOST_MM).all():
        raise BadInput(
            f"{path}: first voxel at {affine[:3, 3].tolist()} mm", f"within {MOST_MM:g} mm", "repair the header"
        )
