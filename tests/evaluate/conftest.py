"""A tiny store with two datasets whose images are exact linear functions of a hidden anatomy."""

from pathlib import Path

import numpy as np
import pytest

from phantoms import inputs_of
from pmmsynth.atomic import write_json
from pmmsynth.console import Reporter
from pmmsynth.store import CaseRecord, DatasetRecord, GridRecord, Intensity, Store, StoreRecord, write_case
from pmmsynth.volume import Grid

MATRIX, SLICES = 32, 12
MODALITIES = {"glioma": ("T1", "T2", "FLAIR"), "stroke": ("FLAIR", "DWI", "ADC")}
SPACING = (1.0, 2.0, 4.0)  # x, y, z


def make_case(root: Path, dataset: str, name: str, split: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    modalities = MODALITIES[dataset]
    rows, columns = np.mgrid[:MATRIX, :MATRIX] - MATRIX / 2 + 0.5
    brain = np.zeros((SLICES, MATRIX, MATRIX), bool)
    brain[1:-1] = rows**2 + columns**2 < 11**2  # the outer slices have none
    a, b = rng.uniform(0.2, 0.6, (2, *brain.shape))
    # T2 is near FLAIR, T1 far from it; FLAIR = 0.125 + 0.5 T2 + 0.125 T1, DWI and ADC its noisy relatives.
    made = {"T1": a, "T2": b, "DWI": b, "ADC": 1 - b}
    made = {m: v.astype(np.float16).astype(float) for m, v in made.items()}
    made["FLAIR"] = 0.125 + 0.5 * made["T2"] + 0.125 * made["T1"]
    lesion = np.zeros_like(brain)
    if dataset == "glioma":
        lesion[4:6, 14:18, 14:18] = True
        lesion[5, 14:20, 14:18] = True
    grid = GridRecord.of(Grid((MATRIX, MATRIX, SLICES), np.diag([*SPACING, 1.0])))
    record = CaseRecord(
        dataset=dataset,
        case=name,
        subject=name,
        session=None,
        split=split,
        modalities=modalities,
        reference=modalities[0],
        native=grid,
        prepared=grid,
        intensity={m: Intensity(kind="mean", scale=1.0) for m in modalities},
        brain_fraction=tuple(brain.mean(axis=(1, 2)).tolist()),
        quality={},
        has_lesion=bool(lesion.any()),
        inputs=inputs_of(dataset, name, modalities),
        settings="test",
        software="test",
    )
    write_case(root / dataset / name, record, np.stack([made[m] * brain for m in modalities]), brain, lesion)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("store")
    everything = ("T1", "T2", "FLAIR", "DWI", "ADC")
    datasets = [DatasetRecord(id=i, name=n, modalities=m) for i, (n, m) in enumerate(MODALITIES.items())]
    record = StoreRecord(matrix=MATRIX, inplane_mm=1.0, modalities=everything, datasets=tuple(datasets))
    write_json(root / "store.json", record.model_dump(mode="json"))
    for number, dataset in enumerate(MODALITIES):
        for i, split in enumerate(("train", "train", "test", "test")):
            make_case(root, dataset, f"{dataset}{i}", split, seed=10 * number + i)
    return Store(root)


@pytest.fixture
def quiet() -> Reporter:
    return Reporter(quiet=True)
