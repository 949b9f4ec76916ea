"""DICOM files -> series: grouped by their headers whatever the files are called; no voxel is read.

DICOMDIR is not followed: the files that are there count, not those that an index names.
"""

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

from pmmsynth.intake.files import all_under
from pmmsynth.intake.recognize import Tags, doubts, recognize

MOST_LOOKED_AT = 200
"""Files of a folder looked at before it counts as one without DICOM."""
FEWEST_SLICES = 5
UNEVEN = 0.25
"""Share of the slice distance by which one may differ: beyond, slices are missing."""
WANTED: list[str] = [
    *("SOPClassUID", "SOPInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "ImageType"),
    *("EchoTime", "RepetitionTime", "InversionTime", "ContrastBolusAgent", "DiffusionBValue", "ImagePositionPatient"),
    *("ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "SamplesPerPixel"),
]
IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
B_VALUES = ((0x0018, 0x9087), (0x2001, 0x1003), (0x0043, 0x1039), (0x0019, 0x100C))
"""Standard, Philips, GE, Siemens."""
TAGS = [int(tag_for_keyword(name) or 0) for name in WANTED] + [(group << 16) + element for group, element in B_VALUES]


@dataclass(frozen=True)
class Frame:
    """One slice: where its corner is and which way it lies, in mm (LPS), and its b-value."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    b_value: float | None
    size: tuple[int, int]
    spacing: tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One series of one patient.

    Attributes:
        subject, session: Labels made of a digest of the patient's and the study's identifiers, never those themselves.
        uid: Of the series.
        number: Of the series.
        files: Sorted by name.
        tags: What tells the sequence.
        frames: Slices of all files.
        people: Digests of name and birth date found under this patient's identifier.
    """

    subject: str
    session: str
    uid: str = field(repr=False)
    number: int
    files: tuple[Path, ...]
    tags: Tags
    frames: tuple[Frame, ...] = field(repr=False)
    people: frozenset[str] = field(repr=False, default=frozenset())

    @property
    def modality(self) -> str | None:
        """Canonical, or None when it is none of ours or no volume."""
        return None if self._no_volume() else recognize(self.tags)[0]

    @property
    def why(self) -> str:
        """What told the modality, or why it is left alone."""
        return self._no_volume() or recognize(self.tags)[1]

    @property
    def remark(self) -> str | None:
        """What speaks against the modality."""
        return doubts(self.tags, self.modality) if self.modality else None

    @property
    def is_mosaic(self) -> bool:
        """Whether each image is a mosaic of all slices, as Siemens writes diffusion."""
        return "MOSAIC" in self.tags.kind

    @property
    def geometry(self) -> str:
        """Columns x rows x slices, and mm."""
        (rows, columns), (down, across) = self.frames[0].size, self.frames[0].spacing
        if self.is_mosaic:
            return f"mosaic of {columns}x{rows}, {across:.3g}x{down:.3g} mm"
        steps = np.diff(self.positions())
        step = float(np.median(steps)) if len(steps) else 0.0
        return f"{columns}x{rows}x{len(steps) + 1}, {across:.3g}x{down:.3g}x{step:.3g} mm"

    def positions(self) -> NDArray[np.float64]:
        """Where the slices are along their normal, in mm, each once, rising."""
        across = np.array(self.frames[0].orientation).reshape(2, 3)
        along = np.sort(np.array([f.position for f in self.frames]) @ np.cross(*across))
        return along[np.concatenate([[True], np.diff(along) > 0.01])]

    def problem(self) -> str | None:
        """What makes a series of ours unusable: missing slices, incomplete volumes, two sizes."""
        if self.is_mosaic:
            return None
        sizes = Counter(f.size for f in self.frames)
        if len(sizes) > 1:
            return f"images of {len(sizes)} sizes ({', '.join(f'{c}x{r}' for r, c in sizes)})"
        positions = self.positions()
        steps = np.diff(positions)
        if len(steps) and steps.max() > (1 + UNEVEN) * np.median(steps):
            return f"slices missing (a gap of {steps.max():.3g} mm where others are {np.median(steps):.3g} mm)"
        if len(self.frames) % len(positions):
            return f"volumes incomplete ({len(self.frames)} images in {len(positions)} places)"
        return None

    def _no_volume(self) -> str | None:
        """Why it is no stack of parallel slices, as scouts are not."""
        if self.is_mosaic:
            return None
        directions = {tuple(np.round(f.orientation, 2)) for f in self.frames}
        if len(directions) > 1:
            return f"slices in {len(directions)} directions"
        count = len(self.positions())
        return f"{count} slices" if count < FEWEST_SLICES else None


def holds_dicom(root: Path) -> bool:
    """Whether a DICOM file is among the first files of a folder; one that cannot be opened does not tell.

    Raises:
        BadInput: For a folder below it that cannot be read.
    """
    for path in islice(_files(root), MOST_LOOKED_AT):
        with suppress(OSError):
            if _is_dicom(path):
                return True
    return False


def series_under(root: Path) -> tuple[list[Series], list[Path]]:
    """Every MR series below a folder, by patient, study and number, and the files that cannot be read.

    Those are damaged DICOM, files that may not be opened, and links to nothing. What is not DICOM, or DICOM of another
    kind, is left alone.

    Raises:
        BadInput: For a folder that cannot be read.
    """
    broken = []
    groups: dict[tuple[str, str, str], list[tuple[Path, pydicom.Dataset]]] = defaultdict(list)
    people: dict[str, set[str]] = defaultdict(set)
    for path in _files(root):
        try:
            header = _header(path) if _is_dicom(path) else None
        except Exception:  # a file from elsewhere may make its reader raise anything
            broken.append(path)
            continue
        if header is not None:
            patient = str(header.get("PatientID", "") or header.get("PatientName", "") or header.StudyInstanceUID)
            groups[patient, str(header.StudyInstanceUID), str(header.SeriesInstanceUID)].append((path, header))
            people[patient].add(_digest(f"{header.get('PatientName', '')} {header.get('PatientBirthDate', '')}"))
    found = []
    for (patient, study, uid), members in groups.items():
        once = {str(header.SOPInstanceUID): (path, header) for path, header in reversed(members)}  # copies count once
        files = sorted(once.values(), key=lambda pair: pair[0])
        frames = tuple(frame for _, header in files for frame in _frames(header))
        if frames:
            found.append(
                Series(
                    subject=f"sub-{_digest(patient)}",
                    session=f"ses-{_digest(study)}",
                    uid=uid,
                    number=int(files[0][1].get("SeriesNumber") or 0),
                    files=tuple(path for path, _ in files),
                    tags=_tags(files[0][1], frames),
                    frames=frames,
                    people=frozenset(people[patient]),
                )
            )
    return sorted(found, key=lambda s: (s.subject, s.session, s.number, s.uid)), broken


def _files(root: Path) -> Iterator[Path]:
    """All files but the index; links to nothing too, which are named later."""
    yield from (p for p in all_under(root) if p.name.upper() != "DICOMDIR" and (p.is_file() or not p.exists()))


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _header(path: Path) -> pydicom.Dataset | None:
    """The header of an MR image; None for anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are the scanner's
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*TAGS])
        header.decode()
    if header.get("Modality") != "MR" or "Rows" not in header:
        return None
    if missing := [name for name in IDENTIFIERS if name not in header]:
        raise ValueError(f"no {missing[0]}")
    return header


def _frames(header: pydicom.Dataset) -> Iterator[Frame]:
    """The slices of a classic file (one) or an enhanced one; those without a place are left out."""
    shared = _first(header, "SharedFunctionalGroupsSequence")
    for group in header.get("PerFrameFunctionalGroupsSequence") or [header]:
        place = _first(group, "PlanePositionSequence") or header
        lie = _first(group, "PlaneOrientationSequence") or _first(shared, "PlaneOrientationSequence") or header
        pixel = _first(group, "PixelMeasuresSequence") or _first(shared, "PixelMeasuresSequence") or header
        diffusion = _first(group, "MRDiffusionSequence") or (header if group is header else None)
        try:
            yield Frame(
                position=tuple(float(x) for x in place.ImagePositionPatient),
                orientation=tuple(float(x) for x in lie.ImageOrientationPatient),
                b_value=_b_value(diffusion),
                size=(int(header.Rows), int(header.Columns)),
                spacing=(float(pixel.PixelSpacing[0]), float(pixel.PixelSpacing[1])),
            )
        except (AttributeError, TypeError, ValueError, IndexError):
            continue


def _b_value(header: pydicom.Dataset | None) -> float | None:
    for tag in B_VALUES:
        try:
            value = header[tag].value if header is not None else None
            value = value[0] if isinstance(value, (list, pydicom.multival.MultiValue)) else value
            if value is not None:
                return float(value) % 1e5  # GE adds 1e9
        except (KeyError, TypeError, ValueError, IndexError):
            continue
    return None


def _tags(header: pydicom.Dataset, frames: tuple[Frame, ...]) -> Tags:
    """Of an enhanced file the times are in its functional groups."""
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frame = _first(header, "PerFrameFunctionalGroupsSequence")

    def number(name: str, inner: str, group: str) -> float:
        for place in (header, _first(frame, group), _first(shared, group)):
            value = place and (place.get(name) or place.get(inner))
            value = value[0] if isinstance(value, pydicom.multival.MultiValue) else value
            if value:
                return float(value)
        return 0.0

    words = (header.get("SeriesDescription"), header.get("ProtocolName"))
    return Tags(
        description=" ".join(str(word) for word in words if word),
        kind=tuple(str(word) for word in header.get("ImageType") or ()),
        echo=number("EchoTime", "EffectiveEchoTime", "MREchoSequence"),
        repetition=number("RepetitionTime", "RepetitionTime", "MRTimingAndRelatedParametersSequence"),
        inversion=number("InversionTime", "InversionTimes", "MRModifierSequence"),
        agent=str(header.get("ContrastBolusAgent") or ""),
        in_colour=(header.get("SamplesPerPixel") or 1) > 1,
        b_values=tuple(sorted({f.b_value for f in frames if f.b_value is not None})),
    )


def _first(group: Any, name: str) -> pydicom.Dataset | None:
    """The first item of a sequence, if there is one."""
    items = group.get(name) if group is not None else None
    return items[0] if items else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
