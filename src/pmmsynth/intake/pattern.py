"""Any other layout, described by a template such as "{case}/{case}_{modality}.nii.gz"."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.errors import BadInput
from pmmsynth.intake.files import enter_once, volumes_under
from pmmsynth.modality import KNOWN, parse_modality

_FIELDS = {"case": r"[^/]+", "modality": r"[A-Za-z0-9-]+"}


def find(
    root: Path,
    dataset: str,
    *,
    image: str,
    brain: str | None = None,
    lesion: str | None = None,
    aliases: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
) -> list[Case]:
    """Cases whose files fit the templates.

    Args:
        root: Templates are relative to it.
        dataset: Name given to the cases.
        image: Template with `{case}` and `{modality}`.
        brain, lesion: Templates of masks with `{case}`; files that fit them are not taken for images.
        aliases: Spelling in the file name to modality, beside the spellings known anyway; ignores case.
        ignore: Spellings to leave alone (`["brainmask"]`).
    """
    names = {spelling.lower(): parse_modality(name) for spelling, name in (aliases or {}).items()}
    left_alone = {spelling.lower() for spelling in ignore}
    is_image = _compiled(image)
    masks = {kind: _compiled(template) for kind, template in (("brain", brain), ("lesion", lesion)) if template}
    images: dict[str, dict[str, Path]] = {}
    found: dict[str, dict[str, Path]] = {}
    for path in volumes_under(root):
        place = path.relative_to(root).as_posix()
        fitting = [(kind, match) for kind, mask in masks.items() if (match := mask.fullmatch(place))]
        if fitting:
            for kind, match in fitting:
                found.setdefault(match["case"], {})[kind] = path
        elif (match := is_image.fullmatch(place)) and match["modality"].lower() not in left_alone:
            name = names.get(match["modality"].lower()) or _known(match["modality"], path)
            enter_once(images.setdefault(match["case"], {}), name, path, "one file for each", "add one to ignore")
    return [
        Case(dataset=dataset, id=case, subject=f"{dataset}:{case}", images=images[case], **found.get(case, {}))
        for case in sorted(images)
    ]


def _known(spelling: str, path: Path) -> str:
    name = parse_modality(spelling) if spelling[0].isalpha() and spelling.isalnum() else spelling
    if name not in KNOWN:
        raise BadInput(
            f"{path}: unknown modality name {spelling!r}",
            f"a spelling of {', '.join(KNOWN)}",
            f'add it to aliases ({spelling} = "T1") or to ignore in the cohort file',
        )
    return name


def _compiled(template: str) -> re.Pattern[str]:
    """The template as a regular expression; a field used twice must hold the same text."""
    seen: set[str] = set()
    expression = ""
    for part in re.split(r"(\{case\}|\{modality\})", template):
        field = part[1:-1]
        if part[:1] != "{" or field not in _FIELDS:
            expression += re.escape(part)
        elif field in seen:
            expression += f"(?P={field})"
        else:
            seen.add(field)
            expression += f"(?P<{field}>{_FIELDS[field]})"
    return re.compile(expression)
