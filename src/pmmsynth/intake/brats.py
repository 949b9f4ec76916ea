"""BraTS folders, 2017 to 2023 and plain: one folder per case, the file name ends in the sequence."""

import re
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.intake.files import enter_once, stem, volumes_under
from pmmsynth.modality import parse_modality

_NAME = re.compile(r"(?:.*[_-])?(t1n|t1ce|t1c|t1gd|t1|t2w|t2f|t2|flair|segm|seg)", re.IGNORECASE)
_YEAR_2023 = re.compile(r"BraTS-([A-Z]+-\d+)-(\d+)", re.IGNORECASE)
_YEAR_2021 = re.compile(r"BraTS2021_(\d+)", re.IGNORECASE)
_YEAR_2017_TO_2019 = re.compile(r"BraTS1[789]_(.+)_(\d+)", re.IGNORECASE)

LABELS_TO_2021 = {1: "necrotic core", 2: "oedema", 4: "enhancing"}
LABELS_2023 = {1: "necrotic core", 2: "oedema", 3: "enhancing"}


def sequence(path: Path) -> str | None:
    """What the end of the file name says: a modality, "seg" for a lesion mask, else None."""
    if not (match := _NAME.fullmatch(stem(path))):
        return None
    name = match[1].lower()
    return "seg" if name.startswith("seg") else parse_modality(name)


def find(root: Path, dataset: str) -> list[Case]:
    """Cases below `root`, at any depth (HGG and LGG folders); a folder's name is the case.

    Raises:
        BadInput: For two files of one sequence in a folder.
    """
    folders: dict[Path, dict[str, Path]] = {}
    for path in volumes_under(root):
        if name := sequence(path):
            enter_once(folders.setdefault(path.parent, {}), name, path, "one file for each", "remove one")
    cases = []
    for folder, files in folders.items():
        lesion = files.pop("seg", None)
        if files:
            subject, session = identity(folder.name)
            labels = labels_of(folder.name) if lesion else {}
            cases.append(
                Case(
                    dataset=dataset,
                    id=folder.name,
                    subject=subject,
                    session=session,
                    images=files,
                    lesion=lesion,
                    lesion_labels=labels,
                )
            )
    return cases


def identity(case: str) -> tuple[str, str | None]:
    """The patient (the same text in every year's release and spelling, where the name tells) and the time point.

    BraTS2021_00000 became BraTS-GLI-00000-000 in 2023. That 2017-2020 patients are also in 2021, under other
    numbers, no name tells: do not mix those releases without the organisers' mapping.

    Example:
        >>> identity("Brats18_TCIA01_201_1"), identity("BraTS2021_00000")
        (('BraTS-TCIA01_201', '1'), ('BraTS-GLI-00000', '000'))
    """
    if match := _YEAR_2023.fullmatch(case):
        return f"BraTS-{match[1].upper()}", match[2]
    if match := _YEAR_2021.fullmatch(case):
        return f"BraTS-GLI-{match[1]}", "000"
    if match := _YEAR_2017_TO_2019.fullmatch(case):
        return f"BraTS-{match[1].upper()}", match[2]
    return case, None


def labels_of(case: str) -> dict[int, str]:
    """What the mask's values mean, by the release the name belongs to; empty when the name does not tell."""
    if _YEAR_2023.fullmatch(case):
        return LABELS_2023
    return LABELS_TO_2021 if case.lower().startswith("brats") else {}
