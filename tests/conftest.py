"""Phantoms for all tests: brains of ellipses with a lesion, as arrays, as a prepared store and as NIfTI."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)  # the same sums in the same order on every machine, and no waiting between small ones

if "pmmsynth" not in sys.modules:  # shapes are checked in tests, not in use
    install_import_hook(["pmmsynth.nets", "pmmsynth.losses", "pmmsynth.data", "pmmsynth.predict"], "beartype.beartype")

from phantoms import phantom
from pmmsynth.atomic import write_json
from pmmsynth.case import Case, Split
from pmmsynth.manifest import Manifest
from pmmsynth.modality import ordered
from pmmsynth.store import (
    CaseRecord,
    DatasetRecord,
    GridRecord,
    Intensity,
    Store,
    StoreRecord,
    write_case,
)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def make_store(root: Path, cohort: Mapping[str, Sequence[tuple[Split, Sequence[str]]]], *, slices: int = 10) -> Store:
    """A prepared store: dataset -> one (split, modalities) per case."""
    cases = []
    for dataset, table in cohort.items():
        for number, (split, modalities) in enumerate(table):
            names = ordered(modalities)
            seed = sum(map(ord, dataset)) + number
            stacks = [phantom(m, slices=slices, seed=seed) for m in names]
            brain, lesion = stacks[0][1:]
            grid = GridRecord(shape=(32, 32, slices), affine=((-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 4, 0), (0, 0, 0, 1)))
            case = f"case{number:02d}"
            record = CaseRecord(
                dataset=dataset,
                case=case,
                subject=f"{dataset}:{case}",
                session=None,
                split=split,
                modalities=names,
                reference=names[0],
                native=grid,
                prepared=grid,
                intensity={m: Intensity(kind="mean", scale=1000.0 + number) for m in names},
                brain_fraction=tuple(brain.mean((1, 2)).tolist()),
                quality={},
                has_lesion=True,
                inputs={},
                settings="test",
                software="test",
            )
            write_case(root / dataset / case, record, np.stack([s[0] for s in stacks]), brain, lesion)
            cases.append(
                Case(dataset=dataset, id=case, subject=record.subject, split=split, images=dict.fromkeys(names, root))
            )
    manifest = Manifest(datasets=tuple(cohort), cases=tuple(cases))
    manifest.write(root / "manifest.jsonl")
    datasets = tuple(
        DatasetRecord(id=i, name=name, modalities=ordered(m for _, ms in table for m in ms))
        for i, (name, table) in enumerate(cohort.items())
    )
    write_json(
        root / "store.json",
        StoreRecord(matrix=32, inplane_mm=1.0, modalities=manifest.modalities, datasets=datasets).model_dump(
            mode="json"
        ),
    )
    return Store(root)


COHORT: dict[str, list[tuple[Split, list[str]]]] = {
    "A": [("train", ["T1", "T2", "FLAIR"]), ("train", ["T1", "T2", "FLAIR"]), ("val", ["T1", "T2", "FLAIR"])],
    "B": [("train", ["T1", "FLAIR"]), ("train", ["FLAIR", "ADC"]), ("test", ["T1", "FLAIR", "ADC"])],
}
"""Two datasets with different modalities; in B they differ from case to case."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", COHORT)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


def write_nifti(path: Path, data: np.ndarray, affine: np.ndarray, codes: tuple[int, int] = (1, 1)) -> Path:
    """Write data as int16 NIfTI with explicit qform and sform codes."""
    image = nib.Nifti1Image(data.astype(np.int16), affine)
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real cases at {SHARED}")
    return SHARED
