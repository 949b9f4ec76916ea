"""The prepared store: `store/<dataset>/<case>/` with memory-mapped arrays and a `case.json` beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from pmmsynth.atomic import replacing_folder, sha256, write_json
from pmmsynth.case import FolderName, Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.manifest import first_message
from pmmsynth.modality import check_modalities
from pmmsynth.volume import Grid

IMAGES, MASKS, LABELS, RECORD = "images.npy", "masks.npy", "labels.npy", "case.json"
AGAIN = "run pmmsynth prepare again, with --overwrite"
FEWEST_PIXELS, MOST_PIXELS = 32, 4096
"""Per side of a slice; the deepest networks (MM-GAN, PatchGAN) leave nothing of fewer."""
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


Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class GridRecord(Frozen):
    """A Grid as JSON."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    affine: tuple[Row, Row, Row, Row]

    @classmethod
    def of(cls, grid: Grid) -> "GridRecord":
        return cls.model_validate({"shape": grid.shape, "affine": grid.affine.tolist()})

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
        quality: Per modality: how well it covers the brain, how sharp it is, how it fits the reference; of registered
            ones how far they were moved and how far to doubt it, in mm. All names: docs/reference/files.md.
        moves: Of registered modalities: 4x4 from the world of their file to that of the reference, mm, RAS+.
        has_lesion: Whether there was a lesion mask (it may be empty).
        lesion_labels: What the values of `labels.npy` mean, where the mask tells several tissues apart; else empty,
            and there is no such array.
        inputs: sha256 of every input file.
        arrays: sha256 of the two arrays synthesis is trained and scored on.
        labels_sha256: Of `labels.npy`; empty when there is none.
        settings: Digest of what prepared it; a change means prepare again.
        software: Version that wrote it.
    """

    dataset: FolderName
    case: FolderName
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
    moves: dict[str, tuple[Row, Row, Row, Row]] = {}
    has_lesion: bool
    lesion_labels: dict[int, str] = {}
    inputs: dict[str, str]
    arrays: dict[str, str] = {}
    labels_sha256: str = ""
    settings: str
    software: str

    @model_validator(mode="after")
    def _holds_together(self) -> "CaseRecord":
        check_modalities(self.modalities)
        if set(self.intensity) != set(self.modalities):
            raise ValueError(f"modalities {', '.join(self.modalities)}, intensities of {', '.join(self.intensity)}")
        if len(self.brain_fraction) != self.prepared.shape[2]:
            raise ValueError(f"brain_fraction of {len(self.brain_fraction)} slices, not {self.prepared.shape[2]}")
        return self


@dataclass(frozen=True)
class PreparedCase:
    """A case of the store; arrays are opened memory-mapped at each call and never copied whole.

    Arrays that are not there, or not of the record's shape, or hold anything but plain numbers are BadInput.
    """

    folder: Path
    record: CaseRecord

    def images(self) -> NDArray[np.float16]:
        """(modality, slice, row, column), values in [0, 1], background 0."""
        return self._open(IMAGES, np.float16, len(self.record.modalities))

    def slices(self, positions: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
        """Some slices of all modalities: (modality, slice, row, column). BadInput if a value is not in [0, 1]."""
        values = self.images()[:, positions].astype(np.float32)
        if not ((values >= 0) & (values <= 1)).all():
            raise BadInput(f"{self.folder / IMAGES}: values outside 0 to 1", "a prepared case", AGAIN)
        return values

    def brain(self) -> NDArray[np.bool_]:
        """(slice, row, column)."""
        return self._open(MASKS, np.bool_, 2)[0]

    def lesion(self) -> NDArray[np.bool_]:
        """(slice, row, column); all False when `record.has_lesion` is False."""
        return self._open(MASKS, np.bool_, 2)[1]

    def labels(self) -> NDArray[np.uint8]:
        """Tissues of the lesion, (slice, row, column): values of `record.lesion_labels`, which is not empty, and 0."""
        return self._open(LABELS, np.uint8, 1)[0]

    def _open(self, name: str, kind: type[np.generic], count: int) -> NDArray[Any]:
        path, wanted = self.folder / name, (count, *reversed(self.record.prepared.shape))
        try:
            with np.errstate(over="raise"):  # of a shape
                array = np.lib.format.open_memmap(path, mode="r")  # reads no pickle, whatever the file says
        except Exception as error:  # a file from elsewhere may make its reader raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BadInput(f"{path}: not readable ({reason})", "an array of a prepared case", AGAIN) from error
        if (array.dtype, array.shape) != (np.dtype(kind), wanted):
            found = f"{array.dtype} {array.shape}"
            raise BadInput(f"{path}: {found}", f"{np.dtype(kind)} {wanted}, as {RECORD} says", AGAIN)
        return array

    def verify(self) -> None:
        """Read all arrays whole. Raises BadInput unless they are the bytes the record was written for."""
        labels = {LABELS: self.record.labels_sha256} if self.record.labels_sha256 else {}
        for name, digest in (self.record.arrays | labels).items():
            path = self.folder / name
            if not path.is_file() or sha256(path) != digest:
                found = f"not the bytes {RECORD} was written for" if path.exists() else "not there"
                raise BadInput(f"{path}: {found}", "its sha256", AGAIN)

    def scored_slices(self) -> NDArray[np.intp]:
        """Indices of the slices with enough brain to train on and to score."""
        return np.flatnonzero(np.asarray(self.record.brain_fraction) >= MIN_BRAIN)


def verify_cases(cases: Sequence[PreparedCase], reporter: Reporter) -> None:
    """Before long work, that no array was changed, damaged or swapped. Raises BadInput at the first."""
    with reporter.progress("verifying", len(cases)) as advance:
        for case in cases:
            case.verify()
            advance()


def write_case(
    folder: Path,
    record: CaseRecord,
    images: NDArray[np.floating],
    brain: NDArray[np.bool_],
    lesion: NDArray[np.bool_],
    labels: NDArray[np.uint8] | None = None,
) -> PreparedCase:
    """Write a prepared case, complete or not at all; an older one is replaced."""
    with replacing_folder(folder) as temporary:
        np.save(temporary / IMAGES, images.astype(np.float16))
        np.save(temporary / MASKS, np.stack([brain, lesion]))
        digests = {name: sha256(temporary / name) for name in (IMAGES, MASKS)}
        record = record.model_copy(update={"arrays": digests})
        if labels is not None:
            np.save(temporary / LABELS, labels[None])
            record = record.model_copy(update={"labels_sha256": sha256(temporary / LABELS)})
        write_json(temporary / RECORD, record.model_dump(mode="json"))
    return PreparedCase(folder, record)


def read_case(folder: Path) -> PreparedCase:
    """Open a prepared case. Raises BadInput if `case.json` is missing or not of this form."""
    path = folder / RECORD
    if not path.is_file():
        raise BadInput(f"no {RECORD} in {folder}", "a prepared case", "run pmmsynth prepare")
    try:
        return PreparedCase(folder, CaseRecord.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise BadInput(f"{path}: {first_message(error)}", "a record of this version", AGAIN) from error


class DatasetRecord(Frozen):
    """One dataset of a store: `id` is n of Eq. 1."""

    id: int
    name: FolderName
    modalities: tuple[str, ...]


class StoreRecord(Frozen):
    """`store.json`: what holds for the whole store. `inplane_mm` is the pixel size, `matrix` the number of pixels."""

    matrix: int = Field(ge=FEWEST_PIXELS, le=MOST_PIXELS, multiple_of=4)
    inplane_mm: float = Field(ge=0.1, le=10)
    modalities: tuple[str, ...]
    datasets: tuple[DatasetRecord, ...]

    @model_validator(mode="after")
    def _holds_together(self) -> "StoreRecord":
        check_datasets([(d.id, d.name) for d in self.datasets])
        check_modalities(self.modalities)
        return self


def check_datasets(pairs: Sequence[tuple[int, str]]) -> None:
    """Raise ValueError unless these names differ and these ids are 0, 1, ..."""
    ids, names = [number for number, _ in pairs], [name for _, name in pairs]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names no dataset, or one twice: {', '.join(names)}")
    if ids != list(range(len(ids))):
        raise ValueError(f"dataset ids {ids} are not 0, 1, ...")


@dataclass(frozen=True)
class Fold:
    """One of several parts of the training patients, held out for cross-validation.

    Attributes:
        number: From 0.
        count: How many parts there are; 2 or more.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count or self.count < 2:
            raise UsageError(f"found fold {self}; expected such as 0/3, 1/3 or 2/3; correct it")

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """From "0/3"; UsageError if it is none."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UsageError(f"found fold {text!r}; expected such as 0/3, 1/3 or 2/3; correct it")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Store:
    """A folder of prepared cases.

    Args:
        root: What `prepare` wrote.
        only: Names of the datasets to take, the others are left aside; none means all.
        fold: For cross-validation: these training patients are the test cases, and the true test cases are left aside.
            In each dataset every `count`-th patient by name; a dataset's only one stays in training.
    """

    root: Path
    only: tuple[str, ...] = ()
    fold: Fold | None = None

    @cached_property
    def record(self) -> StoreRecord:
        path = self.root / "store.json"
        if not path.is_file():
            raise BadInput(f"no store.json in {self.root}", "a prepared store", "run pmmsynth prepare first")
        try:
            record = StoreRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BadInput(
                f"{path}: {first_message(error)}", "a store of this version", "run pmmsynth prepare again"
            ) from error
        return self._part(record) if self.only else record

    def _part(self, record: StoreRecord) -> StoreRecord:
        """The record of the chosen datasets alone, with ids 0, 1, ..."""
        known = [d.name for d in record.datasets]
        if unknown := [name for name in self.only if name not in known]:
            raise UsageError(f"found dataset {unknown[0]!r}; expected one of {', '.join(known)}; choose one of them")
        chosen = [d for d in record.datasets if d.name in self.only]
        datasets = tuple(d.model_copy(update={"id": number}) for number, d in enumerate(chosen))
        names = {m for d in chosen for m in d.modalities}
        modalities = tuple(m for m in record.modalities if m in names)
        return record.model_copy(update={"datasets": datasets, "modalities": modalities})

    def cases(self, split: Split | None = None, dataset: str | None = None) -> Iterator[PreparedCase]:
        """Prepared cases in order of dataset id and name.

        Raises:
            BadInput: If a record cannot be read or contradicts the store, or a patient is in two splits.
        """
        for case in self._read():
            if self.fold and case.record.split == "test":
                continue
            if self.fold and case.record.subject in self.held_out:
                case = replace(case, record=case.record.model_copy(update={"split": "test"}))
            if split in (None, case.record.split) and dataset in (None, case.record.dataset):
                yield case

    def _read(self) -> list[PreparedCase]:
        """All cases as their records say, of which a run of `prepare` that was stopped may have relabelled some."""
        cases: list[PreparedCase] = []
        splits: dict[str, Split] = {}
        for entry in self.record.datasets:
            for folder in sorted(p.parent for p in (self.root / entry.name).glob(f"[!.]*/{RECORD}")):
                case = read_case(folder)
                self._check(case, entry)
                found = case.record
                if (split := splits.setdefault(found.subject, found.split)) != found.split:
                    raise BadInput(
                        f"{self.root}: patient {found.subject} in splits {split} and {found.split}",
                        "one split per patient",
                        "run pmmsynth prepare again",
                    )
                cases.append(case)
        return cases

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Subjects of the fold, whatever datasets are taken: who is in several is held out of all or none.

        Raises:
            UsageError: If that is nobody.
        """
        if not self.fold:
            return frozenset()
        whole, placed, held = Store(self.root), set[str](), set[str]()
        for entry in whole.record.datasets:
            subjects = {case.record.subject for case in whole.cases("train", entry.name)}
            new = sorted(subjects - placed)
            placed |= subjects
            if len(subjects) > 1:
                held.update(new[self.fold.number :: self.fold.count])
        if not held:
            raise UsageError(
                f"found fold {self.fold}, which holds out none of {len(placed)} training patients; expected one that "
                "holds out at least one; choose fewer parts (a dataset's only patient is never held out)"
            )
        return frozenset(held)

    def _check(self, case: PreparedCase, dataset: DatasetRecord) -> None:
        found, matrix = case.record, self.record.matrix
        if found.case != case.folder.name:
            raise BadInput(
                f"{case.folder / RECORD}: of {found.case}",
                f"of {case.folder.name}: a folder per case",
                "move the copy away",
            )
        if found.dataset != dataset.name or found.prepared.shape[:2] != (matrix, matrix):
            raise BadInput(
                f"{case.folder / RECORD}: of {found.dataset}, {found.prepared.shape[:2]} pixels",
                f"of {dataset.name}, {(matrix, matrix)}, as its place and store.json say",
                AGAIN,
            )
        if found.split == "train" and (more := sorted({*found.modalities} - {*dataset.modalities})):
            raise BadInput(
                f"{case.folder / RECORD}: a training case with {', '.join(more)}",
                f"{', '.join(dataset.modalities)}, as store.json says of {dataset.name}",
                "run pmmsynth prepare again",
            )
