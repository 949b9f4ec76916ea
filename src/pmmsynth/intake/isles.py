"""ISLES'22: the BIDS-like tree as released, with or without `rawdata/`, and one flat folder per case."""

from collections import defaultdict
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.intake.files import enter_once, stem, volumes_under
from pmmsynth.modality import parse_modality

SEQUENCES = ("dwi", "adc", "flair")
MASKS = ("msk", "mask", "seg")
LABELS = {1: "infarct"}


def sequence(path: Path) -> str | None:
    """What the end of the file name says: a modality, "seg" for a lesion mask, else None."""
    name = stem(path).split("_")[-1].lower()
    return parse_modality(name) if name in SEQUENCES else "seg" if name in MASKS else None


def find(root: Path, dataset: str) -> list[Case]:
    """Cases below `root`; a file belongs to the `sub-` and `ses-` folders above it, else to its own folder.

    Lesion masks may lie below another `sub-` folder than the images, as those in `derivatives/` do.

    Raises:
        BadInput: For two folders of one name, which may be two patients, or two files for one sequence.
    """
    folders: dict[str, Path] = {}
    found: dict[tuple[str, str | None], dict[str, Path]] = defaultdict(dict)
    named = [(name, path) for path in volumes_under(root) if (name := sequence(path))]
    for name, path in sorted(named, key=lambda pair: pair[0] == "seg"):  # masks last: those of no case are left alone
        folder, session = _place(path, root)
        key = folder.name, session
        if name != "seg" or key in found:
            if name != "seg" or not folder.name.startswith("sub-"):
                enter_once(folders, folder.name, folder, "one folder for each case", "rename one, or make two datasets")
            enter_once(found[key], name, path, "one file for each", "remove one")
    return [
        Case(
            dataset=dataset,
            id="_".join(k for k in key if k),
            subject=f"{dataset}:{key[0]}",
            session=key[1],
            images={name: path for name, path in found[key].items() if name != "seg"},
            lesion=found[key].get("seg"),
            lesion_labels=LABELS if "seg" in found[key] else {},
        )
        for key in sorted(found, key=lambda k: (k[0], k[1] or ""))
    ]


def _place(path: Path, root: Path) -> tuple[Path, str | None]:
    """The folder that names the case, and the session."""
    above = [folder for folder in reversed(path.parents) if folder.is_relative_to(root) and folder != root]
    case = next((folder for folder in above if folder.name.startswith("sub-")), path.parent)
    return case, next((folder.name for folder in above if folder.name.startswith("ses-")), None)
