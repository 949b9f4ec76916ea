"""One case looked at: what each file is, where its voxels lie, what is missing and what is wrong."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.check.contrast import suspicions
from pmmsynth.errors import BadInput
from pmmsynth.prepare import prepare_volumes
from pmmsynth.prepare.brain import HasSkull, brain_mask
from pmmsynth.prepare.quality import remarks, unplaced
from pmmsynth.prepare.volumes import check_places, check_tissues
from pmmsynth.volume import Volume, read_sequence, read_volume

MATRIX, INPLANE_MM = 128, 2.0
"""Of the quick preparation that tells whether sequences fit together."""


@dataclass(frozen=True)
class File:
    """A row of the table.

    Attributes:
        sequence: Canonical modality, "brain" or "lesion"; None for a DICOM series of another kind.
        place: The file, or the series in its folder.
        told_by: What says that it is that sequence.
        geometry: Shape, voxel size in mm and orientation; empty where it cannot be read.
        problem: Why it cannot be used (what was found, what was expected, what to do), or None.
        digest: Of its voxels; empty where there is none.
    """

    sequence: str | None
    place: str
    told_by: str
    geometry: str = ""
    problem: str | None = None
    digest: str = ""


@dataclass(frozen=True)
class Findings:
    """All that is known of one case.

    Attributes:
        dataset, case: Names.
        files: Its rows.
        missing: Sequences that other cases of its dataset have.
        problems: Why the case cannot be prepared, in the same words.
        remarks: What a person should look at.
    """

    dataset: str
    case: str
    files: tuple[File, ...]
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_bad(self) -> bool:
        return bool(self.problems) or any(file.problem for file in self.files)


@dataclass(frozen=True)
class Look:
    """What to look at: a case, what told its files, and what the others of its dataset have."""

    case: Case
    told_by: str
    usual: tuple[str, ...]


def look(task: Look) -> Findings:
    """Read every file of a case and see whether they fit together."""
    case, files, volumes = task.case, [], {}
    for name, path in case.images.items():
        file, volume = _read(name, path, task.told_by)
        files.append(file)
        if volume is not None:
            volumes[name] = volume
    masks = {}
    for name, mask in (("brain", case.brain), ("lesion", case.lesion)):
        if mask is not None:
            file, volume = _read(name, mask, task.told_by, is_mask=True)
            files.append(file)
            masks[name] = volume
    problems, notes = list(_duplicates(files)), list(case.remarks)
    notes += [unplaced(name) for name, v in volumes.items() if v.is_lost]
    if len(volumes) == len(case.images) and not any(file.problem for file in files) and not problems:
        more, noted = _together(volumes, masks.get("brain"), masks.get("lesion"), case)
        problems += more
        notes += noted
    missing = tuple(name for name in task.usual if name not in case.images)
    return Findings(case.dataset, case.id, tuple(files), missing, tuple(problems), tuple(dict.fromkeys(notes)))


def _read(name: str, path: Path, told_by: str, *, is_mask: bool = False) -> tuple[File, Volume | None]:
    try:
        volume = read_volume(path, constant_ok=True) if is_mask else read_sequence(path)
    except BadInput as error:
        problem = str(error).removeprefix("found ").removeprefix(f"{path}: ")
        return File(name, str(path), told_by, problem=problem), None
    digest = "" if is_mask else hashlib.sha256(volume.data.tobytes()).hexdigest()
    return File(name, str(path), told_by, volume.grid.described(), digest=digest), volume


def _duplicates(files: Sequence[File]) -> list[str]:
    """Sequences of one case with the same voxels."""
    first: dict[str, File] = {}
    said = []
    for file in files:
        other = first.setdefault(file.digest, file)
        if file.digest and other is not file:
            said.append(f"{other.sequence} and {file.sequence} are one image; expected two; leave the wrong one out")
    return said


def _together(
    volumes: dict[str, Volume], brain: Volume | None, lesion: Volume | None, case: Case
) -> tuple[list[str], list[str]]:
    """Problems and remarks of the sequences side by side, as far as they need no registration."""
    scans = case.scans
    heads = [name for name, volume in volumes.items() if _has_skull(volume, name)] if brain is None else []
    if heads and scans.skull_stripped:
        return [], [
            f"{', '.join(heads)} look like heads with skull: say skull_stripped = false (and registered = false unless "
            "headers agree) in the cohort file, or synthesize --raw"
        ]
    try:
        if lesion is not None and case.tissues:
            check_tissues(lesion)
        check_places(volumes, brain, lesion)
        if not scans.skull_stripped or not scans.registered:
            return [], []
        got = prepare_volumes(volumes, matrix=MATRIX, inplane_mm=INPLANE_MM, scans=scans, mask=brain, lesion=lesion)
    except BadInput as error:
        return [str(error).removeprefix("found ")], []
    images = dict(zip(got.modalities, got.images, strict=True))
    across, down, through = got.prepared.spacing
    return [], remarks(got.quality) + suspicions(images, got.brain, (through, down, across))


def _has_skull(volume: Volume, name: str) -> bool:
    try:
        brain_mask(volume, name)
    except HasSkull:
        return True
    except BadInput:
        pass
    return False
