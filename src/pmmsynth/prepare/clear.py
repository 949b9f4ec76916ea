"""Before any case is prepared: what is in the store already becomes what the cohort file says of it, or goes."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pmmsynth.atomic import sweep, write_json
from pmmsynth.case import Case
from pmmsynth.errors import BadInput
from pmmsynth.manifest import Manifest
from pmmsynth.prepare.review import FOLDER
from pmmsynth.store import IMAGES, LABELS, MASKS, RECORD, PreparedCase, read_case

SHEETS = "sheets"
"""Folder of the store with the contact sheets."""


def clear(out: Path, manifest: Manifest, digests: Mapping[str, str]) -> None:
    """Remove what a killed run left half written and cases of another cohort or other settings; relabel the others.

    So that a store is of one kind at any time, also when the run that changes it is stopped or cannot read a case.

    Args:
        out: The store.
        manifest: What is to be in it.
        digests: Of the settings, by dataset.
    """
    sweep(out)
    wanted = {(case.dataset, case.id): case for case in manifest.cases}
    kept: list[tuple[PreparedCase, Case]] = []
    for folder in [path.parent for path in out.glob(f"*/*/{RECORD}")]:
        old, case = existing(folder), wanted.get((folder.parent.name, folder.name))
        if old and case and old.record.settings == digests[case.dataset] and {*old.record.modalities} <= {*case.images}:
            kept.append((old, case))
        else:  # also those with a sequence that is withheld now
            remove_case(folder)
    _relabel(kept)
    for path in (out / FOLDER).glob("cases/*/*.json"):
        if (path.parent.name, path.stem) not in wanted:
            path.unlink()
            _remove_if_empty(path.parent)
    for path in (*(out / FOLDER).glob("*.html"), *(out / SHEETS).glob("*.png")):
        if path.stem not in digests:
            path.unlink()


def existing(folder: Path) -> PreparedCase | None:
    """The case as it is in the store, if it is whole and of this version."""
    if not all((folder / name).is_file() for name in (IMAGES, MASKS, RECORD)):
        return None
    try:
        case = read_case(folder)
    except BadInput:
        return None
    return case if not case.record.lesion_labels or (folder / LABELS).is_file() else None


def remove_case(folder: Path) -> None:
    """A case of the store, and the sheet it may be on; that is made again of what is left."""
    if not folder.is_dir():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parents[1] / SHEETS / f"{folder.parent.name}.png").unlink(missing_ok=True)
    _remove_if_empty(folder.parent)


def _relabel(pairs: Sequence[tuple[PreparedCase, Case]]) -> None:
    """Who a patient is and in which split may change without touching a voxel: first who they are, then the splits.

    Stopped before the splits, the store has those it had. Stopped among them, a patient whose sessions disagree is
    known as one, and `Store` refuses what two splits share.
    """
    for labels in ({"subject", "session"}, {"subject", "session", "split"}):
        for old, case in pairs:
            record = old.record.model_copy(update=case.model_dump(include=labels))
            if record != old.record:
                write_json(old.folder / RECORD, record.model_dump(mode="json"))


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()
