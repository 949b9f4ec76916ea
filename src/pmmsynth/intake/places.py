"""A place somebody points at -> its cases: a manifest, or a folder whose form the file names tell."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from pmmsynth.case import Case, Split
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.intake import bids, brats, isles
from pmmsynth.intake.dicom import holds_dicom
from pmmsynth.intake.files import volumes_under
from pmmsynth.manifest import Manifest, first_message
from pmmsynth.volume import SUFFIXES

UNKNOWN = "(not said)"
"""The dataset of a case of which nobody said it."""


def overlooked(place: Path, cases: Sequence[Case]) -> list[Path]:
    """Volumes below a folder that no case takes as a sequence or lesion mask: their sequences count as missing."""
    if not place.is_dir():
        return []
    used = {p for c in cases for p in (*c.images.values(), c.brain, c.lesion)}
    return [p for p in volumes_under(place) if p not in used]


def find_cases(place: Path, split: Split | None = None) -> list[Case]:
    """Cases of a manifest file, or of a folder in BIDS, BraTS or ISLES form.

    Args:
        place: The file or folder.
        split: Of a manifest, only the cases of this split.

    Raises:
        BadInput: If there is no such place, a folder below it cannot be read, or its files contradict each other.
        UsageError: If the place is a single image, or a split is wanted of a folder.
        NothingToDo: If there is no case.
    """
    if place.is_file():
        if place.name.lower().endswith(SUFFIXES):
            raise UsageError(f"found one image, {place}; expected a folder or a manifest.jsonl; use --input t1={place}")
        chosen = [c for c in Manifest.read(place).cases if split in (None, c.split)]
        if not chosen:
            which = f"{split} case" if split else "case"
            raise NothingToDo(f"found no {which} in {place}; expected at least one; choose another file or split")
        return chosen
    if split:
        raise UsageError(f"found --split {split} and the folder {place}; only a manifest has splits; leave it out")
    if not place.is_dir():
        raise BadInput(f"nothing at {place}", "a folder of cases or a manifest.jsonl", "check the path")
    _, best = _recognized(place)
    if not best and holds_dicom(place):
        raise NothingToDo(f"found DICOM in {place}; expected NIfTI; run pmmsynth convert first")
    if not best:
        raise NothingToDo(f"found no case in {place}; expected BraTS, BIDS or ISLES file names; use --input t1=path")
    return best


def form_of(place: Path) -> str:
    """What told the cases that `find_cases` finds there: "manifest", "bids", "brats" or "isles"."""
    return "manifest" if place.is_file() else _recognized(place)[0]


def _recognized(place: Path) -> tuple[str, list[Case]]:
    """Names that are BIDS are nothing else; BraTS and ISLES share the name of FLAIR: the one with more files."""
    try:
        if cases := bids.find(place, UNKNOWN):
            return "bids", cases
        names, forms = list(volumes_under(place)), {"brats": brats, "isles": isles}
        form = max(forms, key=lambda form: sum(forms[form].sequence(path) not in (None, "seg") for path in names))
        return form, forms[form].find(place, UNKNOWN)
    except ValidationError as error:
        raise BadInput(f"{place}: {first_message(error)}", "a name for each case", "rename the folder") from error
