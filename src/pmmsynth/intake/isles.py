"""ISLES'22: the BIDS-like tree as released, with or without `rawdata/`, and one flat folder per case."""

from collections import defaultdict
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.intake.files import stem, volumes_under
from pmmsynth.modality import parse_modality

SEQUENCES = ("dwi", "adc", "flair")
MASKS = ("msk", "mask", "seg")
LABELS = {1: "infarct"}


def find(root: Path, dataset: str) -> list[Case]:
    """Cases below `root`; a file belongs to the `sub-` and `ses-` folders above it, else to its own folder."""
    images: dict[tuple[str, str | None], dict[str, Path]] = defaultdict(dict)
    lesions: dict[tuple[str, str | None], Path] = {}
    for path in volumes_under(root):
        folders = path.relative_to(root).parts[:-1]
        subject = next((p for p in folders if p.startswith("sub-")), path.parent.name)
        key = subject, next((p for p in folders if p.startswith("ses-")), None)
        name = stem(path).split("_")[-1].lower()
        if name in SEQUENCES:
            images[key].setdefault(parse_modality(name), path)
        elif name in MASKS:
            lesions.setdefault(key, path)
    return [
        Case(
            dataset=dataset,
            id="_".join(k for k in key if k),
            subject=f"{dataset}:{key[0]}",
            session=key[1],
            images=images[key],
            lesion=lesions.get(key),
            lesion_labels=LABELS if key in lesions else {},
        )
        for key in sorted(images, key=lambda k: (k[0], k[1] or ""))
    ]
