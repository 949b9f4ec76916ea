"""Where a synthesized volume goes: BIDS derivatives with `desc-synth`, so that none passes for an acquired one."""

import hashlib
import re
import unicodedata
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.intake.bids import FORMS


def label(text: str) -> str:
    """What BIDS allows in a label, letters and digits; a name with other letters is told apart by a digest.

    Example:
        >>> label("P-01"), label("Müller"), label("Möller")
        ('P01', 'Mullerfa6a2313', 'Mollere6e6d8b2')
    """
    plain = unicodedata.normalize("NFKD", text)
    short = re.sub(r"[^A-Za-z0-9]", "", plain)
    if re.fullmatch(r"[\x20-\x7e]*", text):
        return short
    return short + hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def subject_and_session(case: Case) -> tuple[str, str | None]:
    """The labels of a case: its own `sub-` and `ses-` where the id has them, else the id without other signs."""
    found = re.fullmatch(r"sub-([A-Za-z0-9]+)(?:_?ses-([A-Za-z0-9]+))?", case.id)
    if found:
        return found[1], found[2]
    return label(case.id) or "unnamed", None


def case_folder(root: Path, case: Case) -> Path:
    """`root/sub-01/[ses-1]`, with all that is made of the case."""
    subject, session = subject_and_session(case)
    place = root / f"sub-{subject}"
    return place / f"ses-{session}" if session else place


def output_path(root: Path, case: Case, modality: str) -> Path:
    """`root/sub-01/[ses-1/]anat/sub-01_[ses-1_]desc-synth_FLAIR.nii.gz` and its like."""
    place = case_folder(root, case)
    folder, entity, suffix = FORMS.get(modality, ("anat", "", modality))
    prefix = "_".join(place.relative_to(root).parts)
    return place / folder / f"{prefix}_{entity}desc-synth_{suffix}.nii.gz"


def sidecar_path(image: Path) -> Path:
    """The `.json` beside an image."""
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")
