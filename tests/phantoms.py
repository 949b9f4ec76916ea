"""Brains of ellipses with a lesion in every modality, as arrays and as a prepared store."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pmmsynth.atomic import write_json
from pmmsynth.case import Case, Split
from pmmsynth.manifest import Manifest
from pmmsynth.modality import ordered
from pmmsynth.store import CaseRecord, DatasetRecord, GridRecord, Intensity, Store, StoreRecord, write_case

TISSUE = {  # brain, ventricle, lesion in each modality, [0, 1]
    "T1": (0.30, 0.10, 0.20),
    "T2": (0.20, 0.60, 0.45),
    "T1C": (0.30, 0.10, 0.70),
    "FLAIR": (0.25, 0.08, 0.60),
    "DWI": (0.22, 0.10, 0.65),
    "ADC": (0.27, 0.90, 0.15),
}


def phantom(modality: str, *, slices: int = 10, size: int = 32, seed: int = 0) -> tuple[np.ndarray, ...]:
    """One modality with brain and lesion masks, (slice, row, column); anatomy depends on the seed, not the modality."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (slices, size, size)), indexing="ij")
    radii = rng.uniform(0.7, 0.9, 3)
    brain = (z / 1.1) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 < 1
    ventricle = (z / 0.6) ** 2 + (y / 0.3) ** 2 + (x / 0.15) ** 2 < 1
    at = rng.uniform(-0.35, 0.35, 2)
    lesion = ((z / 0.5) ** 2 + ((y - at[0]) / 0.22) ** 2 + ((x - at[1]) / 0.22) ** 2 < 1) & brain
    texture = 1 + 0.1 * np.sin(9 * x + seed) * np.cos(7 * y)
    brainy, fluid, ill = TISSUE[modality]
    image = np.where(lesion, ill, np.where(ventricle, fluid, brainy)) * texture * brain
    return image.astype(np.float32), brain, lesion


def inputs_of(dataset: str, case: str, modalities: Iterable[str]) -> dict[str, str]:
    """The digests of files of its own."""
    return {name: hashlib.sha256(f"{dataset}/{case}/{name}".encode()).hexdigest() for name in modalities}


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
                inputs=inputs_of(dataset, case, names),
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
