"""A small reading study with its key: two readers, four cases, four sets, six sequences of 24 x 24 x 6 voxels."""

import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from pmmsynth.atomic import write_json
from pmmsynth.study.files import (
    IMAGES,
    KEY,
    STUDY,
    TOKENS,
    Item,
    KeyRecord,
    Reader,
    Shown,
    StudyRecord,
    token_digest,
)

SEQUENCES = ("T1", "T2", "T1C", "FLAIR", "DWI", "ADC")
SETS = {"real": 6, "3-to-3": 3, "2-to-4": 2, "1-to-5": 1}
"""How many sequences are real; the given ones come first in GIVEN."""
GIVEN = ("T1", "T2", "FLAIR", "T1C", "DWI", "ADC")
CASES = ("P1", "P2", "P3", "P4")
READERS = ("R1", "R2")
SHAPE = (24, 24, 6)


def tokens() -> dict[str, str]:
    """By who it is: as long as real ones, and the same in every test."""
    return {who: f"token-of-{who}-{'0123456789abcdef' * 2}" for who in (*READERS, "organiser")}


def make_study(
    folder: Path, key: Path, *, washout_days: float = 14.0, cases: Sequence[str] = CASES, shape: Sequence[int] = SHAPE
) -> StudyRecord:
    """Lay a valid study and its key.

    In sitting s reader r sees case c in set (c + s + r) mod 4: over the sittings every case in every set.
    """
    rng = np.random.default_rng(0)
    shown = {f"images{c}{s}": (case, name) for c, case in enumerate(cases) for s, name in enumerate(SETS)}
    for images in shown:
        for sequence in SEQUENCES:
            _write(folder / IMAGES / images / f"{sequence}.nii", shape, rng)
    readers = []
    for r, code in enumerate(READERS):
        sittings = tuple(
            tuple(Item(id=f"item{r}{s}{c}", images=f"images{c}{(c + s + r) % 4}") for c in rng.permutation(len(cases)))
            for s in range(len(SETS))
        )
        readers.append(Reader(code=code, token=token_digest(tokens()[code]), sittings=sittings))
    record = StudyRecord(
        id="study",
        title="Phantoms",
        sequences=SEQUENCES,
        washout_days=washout_days,
        types=("glioma", "metastasis", "no tumour"),
        grades=("low", "high"),
        organiser=token_digest(tokens()["organiser"]),
        readers=tuple(readers),
    )
    write_json(folder / STUDY, record.model_dump(mode="json"))
    with (folder / TOKENS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("who", "token"), *tokens().items()])
    images = {
        name: Shown(case=case, set=of, real=GIVEN[: SETS[of]], synthesized=GIVEN[SETS[of] :])
        for name, (case, of) in shown.items()
    }
    write_json(key / KEY, KeyRecord(study=record.id, images=images, model="0" * 64, seed=0).model_dump(mode="json"))
    return record


def _write(path: Path, shape: Sequence[int], rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(rng.integers(0, 4096, shape, dtype=np.uint16), np.diag([2.0, 2.0, 5.0, 1.0]))
    nib.save(image, path)
