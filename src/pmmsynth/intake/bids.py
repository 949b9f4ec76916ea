"""BIDS: sub-*/[ses-*]/{anat,dwi,perf}, lesion masks under derivatives/ (or beside the images)."""

import re
from collections import defaultdict
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.errors import BadInput
from pmmsynth.intake.files import enter_once, stem, volumes_under
from pmmsynth.volume import shape_of

SUFFIX = {"t1w": "T1", "t2w": "T2", "flair": "FLAIR", "adc": "ADC", "trace": "DWI", "dwi": "DWI", "pdw": "PD"}
FORMS = {
    "T1": ("anat", "", "T1w"),
    "T2": ("anat", "", "T2w"),
    "T1C": ("anat", "ce-gadolinium_", "T1w"),
    "FLAIR": ("anat", "", "FLAIR"),
    "PD": ("anat", "", "PDw"),
    "DWI": ("dwi", "", "trace"),
    "ADC": ("dwi", "", "ADC"),
}
"""What is written: modality to (folder, entities, suffix)."""
DATATYPES = ("anat", "dwi", "perf")
NO_IMAGES = frozenset(("derivatives", "sourcedata"))
"""Folders of a BIDS tree whose images are made from its own, or are what its own were made from."""
OWN_SPACES = frozenset(("", "orig", "scanner", "individual", *SUFFIX))
"""What `space-` says of a mask that lies on the images as they were scanned, in small letters."""

Key = tuple[str, str | None]


def find(root: Path, dataset: str) -> list[Case]:
    """One case per subject and session.

    Of several files of one sequence, or several lesion masks, the first by name is taken (run-2 before run-10), `trace`
    before `dwi`, and the case remarks on it. A lesion mask in a space that the images are not in, such as a template's,
    is left with a remark. Phase and complex parts are left alone, as is what is under derivatives and sourcedata.

    Raises:
        BadInput: For images of one subject below two folders, which may be two patients.
    """
    subjects: dict[str, Path] = {}
    images: dict[Key, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    lesions: dict[Key, list[Path]] = defaultdict(list)
    for path in volumes_under(root):
        folders = path.relative_to(root).parts[:-1]
        *parts, suffix = stem(path).split("_")
        entities = dict(p.partition("-")[::2] for p in parts)
        if "sub" not in entities:
            continue
        key = f"sub-{entities['sub']}", f"ses-{entities['ses']}" if "ses" in entities else None
        if entities.get("part", "mag") != "mag":
            continue
        if suffix.lower() == "mask":
            if "lesion" in (entities.get("label", "") + entities.get("desc", "")).lower():
                lesions[key].append(path)
        elif not NO_IMAGES.intersection(folders) and folders and folders[-1] in DATATYPES and suffix.lower() in SUFFIX:
            name = "T1C" if "ce" in entities and suffix.lower() == "t1w" else SUFFIX[suffix.lower()]
            if suffix.lower() != "dwi" or _is_3d(path):
                folder = path.parent.parent
                folder = folder.parent if key[1] and folder.name.startswith("ses-") else folder
                enter_once(
                    subjects, key[0], folder, "one folder for each subject", "move one away, or make two datasets"
                )
                images[key][name].append(path)
    return [_case(dataset, key, images[key], lesions[key]) for key in sorted(images, key=lambda k: (k[0], k[1] or ""))]


def _case(dataset: str, key: Key, images: dict[str, list[Path]], lesions: list[Path]) -> Case:
    chosen = {name: min(paths, key=_preference) for name, paths in images.items()}
    spaces = {_space(path) for path in chosen.values()}
    lying = [path for path in lesions if _space(path) in spaces | OWN_SPACES]
    lying.sort(key=lambda path: (_space(path) not in spaces, _preference(path)))
    several = [(name, sorted(paths, key=_preference)) for name, paths in images.items()] + [("lesion mask", lying)]
    return Case(
        dataset=dataset,
        id="_".join(k for k in key if k),
        subject=f"{dataset}:{key[0]}",
        session=key[1],
        images=chosen,
        remarks=(
            *(_choice(name, paths) for name, paths in several if len(paths) > 1),
            *(f"lesion mask: {p.name} left, the images are in another space" for p in lesions if p not in lying),
        ),
        lesion=lying[0] if lying else None,
        lesion_labels={1: "lesion"} if lying else {},
    )


def _space(path: Path) -> str:
    """What `space-` of a file name says, in small letters; nothing where it is not there."""
    found = re.search(r"(?:^|_)space-([^_.]+)", path.name)
    return found[1].lower() if found else ""


def _preference(path: Path) -> tuple[bool, list[str]]:
    parts = re.split(r"(\d+)", str(path))  # numbers at odd places
    return stem(path).lower().endswith("_dwi"), [p.zfill(12) if i % 2 else p for i, p in enumerate(parts)]


def _choice(name: str, paths: list[Path]) -> str:
    return f"{name}: {paths[0].name} taken, left {', '.join(p.name for p in paths[1:])}"


def _is_3d(path: Path) -> bool:
    """A trace-weighted image rather than the raw 4-D series; a file that cannot be read is left for prepare to name."""
    try:
        return all(n == 1 for n in shape_of(path)[3:])
    except BadInput:
        return True
