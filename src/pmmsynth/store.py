"""The prepared store: `store/<dataset>/<case>/` with memory-mapped arrays and a `case.json` beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmmsynth.atomic import replacing_folder, sha256, write_json
from pmmsynth.case import Split
from pmmsynth.errors import BadInput
from pmmsynth.manifest import first_message
from pmmsynth.volume import Grid

IMAGES, MASKS, RECORD = "images.npy", "masks.npy", "case.json"
MIN_BRAIN = 0.10
"""Slices with a smaller fraction of brain are neither trained on nor scored (protocol paper-v1)."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Intensity(Frozen):
    """How one volume's values relate to [0, 1]: unit = clip(native / scale, 0, 1).

    Attributes:
        kind: "mean" (scale = 4 x mean inside the brain) or "physical" (ADC: scale = 3.0e-3 mm2/s).
        scale: In the units of the file; positive.
        units: "arbitrary", or the unit of the file for ADC ("mm2/s", "1e-3 mm2/s", "1e-6 mm2/s").
    """

    kind: Literal["mean", "physical"]
    scale: float = Field(gt=0, allow_inf_nan=False)
    units: str = "arbitrary"


class GridRecord(Frozen):
    """A Grid as JSON."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, grid: Grid) -> "GridRecord":
        return cls(shape=grid.shape, affine=tuple(tuple(float(v) for v in row) for row in grid.affine))

    def grid(self) -> Grid:
        return Grid(self.shape, np.array(self.affine))


class CaseRecord(Frozen):
    """`case.json`: all that is known of a prepared case besides its voxels.

    Attributes:
        modalities: What each row of `images.npy` is.
        reference: The modality whose grid is the native one.
        native: The reference's grid as it was in the file.
        prepared: The grid of the arrays, axes left, posterior, superior (LPS); the arrays are its transpose
            (slice, row, column).
        intensity: Per modality, how to get back to the file's values.
        brain_fraction: Per slice, the share of the matrix that is brain.
        quality: Per modality: share of the brain it covers, share of clipped voxels, gradient correlation
            with the reference.
        has_lesion: Whether there was a lesion mask (it may be empty).
        inputs: sha256 of every input file.
        arrays: sha256 of the two arrays.
        settings: Digest of what prepared it; a change means prepare again.
        software: Version that wrote it.
    """

    dataset: str
    case: str
    subject: str
    session: str | None
    split: Split
    modalities: tuple[str, ...]
    reference: str
    native: GridRecord
    prepared: GridRecord
    intensity: dict[str, Intensity]
    brain_fraction: tuple[float, ...]
    quality: dict[str, dict[str, float]]
    has_lesion: bool
    inputs: dict[str, str]
    arrays: dict[str, str] = {}
    settings: str
    software: str


@dataclass(frozen=True)
class PreparedCase:
    """A case of the store; arrays are opened memory-mapped at each call and never copied whole."""

    folder: Path
    record: CaseRecord

    def images(self) -> NDArray[np.float16]:
        """(modality, slice, row, column), values in [0, 1], background 0."""
        return np.load(self.folder / IMAGES, mmap_mode="r", allow_pickle=False)

    def brain(self) -> NDArray[np.bool_]:
        """(slice, row, column)."""
        return np.load(self.folder / MASKS, mmap_mode="r", allow_pickle=False)[0]

    def lesion(self) -> NDArray[np.bool_]:
        """(slice, row, column); all False when `record.has_lesion` is False."""
        return np.load(self.folder / MASKS, mmap_mode="r", allow_pickle=False)[1]

    def scored_slices(self) -> NDArray[np.intp]:
        """Indices of the slices with enough brain to train on and to score."""
        return np.flatnonzero(np.asarray(self.record.brain_fraction) >= MIN_BRAIN)


def write_case(
    folder: Path, record: CaseRecord, images: NDArray[np.floating], brain: NDArray[np.bool_], lesion: NDArray[np.bool_]
) -> PreparedCase:
    """Write a prepared case, complete or not at all; an older one is replaced."""
    with replacing_folder(folder) as temporary:
        np.save(temporary / IMAGES, images.astype(np.float16))
        np.save(temporary / MASKS, np.stack([brain, lesion]))
        digests = {name: sha256(temporary / name) for name in (IMAGES, MASKS)}
        record = record.model_copy(update={"arrays": digests})
        write_json(temporary / RECORD, record.model_dump(mode="json"))
    return PreparedCase(folder, record)


def read_case(folder: Path) -> PreparedCase:
    """Open a prepared case. Raises BadInput if `case.json` is missing or not of this form."""
    path = folder / RECORD
    if not path.is_file():
        raise BadInput(f"no {RECORD} in {folder}", "a prepared case", "run pmmsynth prepare")
    try:
        return PreparedCase(folder, CaseRecord.model_validate_json(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise BadInput(
            f"{path}: {first_message(error)}", "a record of this version", "run pmmsynth prepare again"
        ) from error


class DatasetRecord(Frozen):
    """One dataset of a store: `id` is n of Eq. 1."""

    id: int
    name: str
    modalities: tuple[str, ...]


class StoreRecord(Frozen):
    """`store.json`: what holds for the whole store. `inplane_mm` is the pixel size, `matrix` the number of pixels."""

    matrix: int
    inplane_mm: float
    modalities: tuple[str, ...]
    datasets: tuple[DatasetRecord, ...]


@dataclass(frozen=True)
class Store:
    """A folder of prepared cases."""

    root: Path

    @cached_property
    def record(self) -> StoreRecord:
        path = self.root / "store.json"
        if not path.is_file():
            raise BadInput(f"no store.json in {self.root}", "a prepared store", "run pmmsynth prepare first")
        try:
            return StoreRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BadInput(
                f"{path}: {first_message(error)}", "a store of this version", "run pmmsynth prepare again"
            ) from error

    def cases(self, split: Split | None = None, dataset: str | None = None) -> Iterator[PreparedCase]:
        """Prepared cases in order of dataset id and name."""
        for entry in self.record.datasets:
            if dataset in (None, entry.name):
                for folder in sorted(p.parent for p in (self.root / entry.name).glob(f"*/{RECORD}")):
                    case = read_case(folder)
                    if split in (None, case.record.split):
                        yield case
