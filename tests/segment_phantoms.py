"""A store of brains with tumours of three tissues, in both BraTS conventions, and one with a plain mask."""

from pathlib import Path

import numpy as np

from model_phantoms import make_card
from phantoms import inputs_of
from pmmsynth.atomic import write_json
from pmmsynth.baselines.ftn import FTNArchitecture
from pmmsynth.intake.brats import LABELS_2023, LABELS_TO_2021
from pmmsynth.model import save_model
from pmmsynth.segment.train import SegmentConfig
from pmmsynth.store import CaseRecord, DatasetRecord, GridRecord, Intensity, Store, StoreRecord, write_case
from pmmsynth.volume import Grid

MATRIX, SLICES = 48, 6
NAMES = ("T1", "T2", "T1C", "FLAIR")
SPACING = (1.0, 1.0, 4.0)
TINY = SegmentConfig(steps=3, batch_size=4, width=2, precision="32-true")
CASES = {"A": ("train", "train", "val", "test", "test"), "B": ("train", "test"), "plain": ("train", "test")}
"""A has the labels of 2018 to 2021, B those of 2023, plain a mask of one class."""


def tumour(seed: int) -> np.ndarray:
    """0, 1 necrotic core, 2 oedema, 3 enhancing; (slice, row, column)."""
    rng = np.random.default_rng(seed)
    row, column = rng.uniform(-5, 5, 2)
    z, y, x = np.meshgrid(np.arange(SLICES) - 2.5, *[np.arange(MATRIX) - 23.5] * 2, indexing="ij")
    distance = np.sqrt((2 * z) ** 2 + (y - row) ** 2 + (x - column) ** 2)
    return np.select([distance < 3, distance < 5, distance < 8], [1, 3, 2], 0).astype(np.uint8)


def images(tissue: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """(modality, slice, row, column): oedema bright on FLAIR and T2, the rim on T1C alone."""
    table = {"T1": (0.3, 0.2, 0.25, 0.28), "T2": (0.2, 0.5, 0.6, 0.4), "T1C": (0.3, 0.2, 0.3, 0.8)}
    table["FLAIR"] = (0.25, 0.3, 0.7, 0.5)
    return np.stack([np.choose(tissue, table[name]) * brain for name in NAMES]).astype(np.float32)


def make_case(root: Path, dataset: str, number: int, split: str) -> None:
    rows, columns = np.mgrid[:MATRIX, :MATRIX] - 23.5
    brain = np.zeros((SLICES, MATRIX, MATRIX), bool)
    brain[:-1] = rows**2 + columns**2 < 18**2  # the last slice has none
    tissue = tumour(number) * brain
    labels, meaning = tissue, LABELS_2023
    if dataset == "A":
        labels, meaning = np.where(tissue == 3, 4, tissue).astype(np.uint8), LABELS_TO_2021
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = 30, 40, -7
    grid = GridRecord.of(Grid((MATRIX, MATRIX, SLICES), affine))
    name = f"{dataset}{number}"
    record = CaseRecord(
        dataset=dataset,
        case=name,
        subject=name,
        session=None,
        split=split,
        modalities=NAMES,
        reference="T1",
        native=grid,
        prepared=grid,
        intensity={m: Intensity(kind="mean", scale=1000.0) for m in NAMES},
        brain_fraction=tuple(brain.mean(axis=(1, 2)).tolist()),
        quality={},
        has_lesion=True,
        lesion_labels={} if dataset == "plain" else meaning,
        inputs=inputs_of(dataset, name, NAMES),
        settings="test",
        software="test",
    )
    write_case(
        root / dataset / name,
        record,
        images(tissue, brain),
        brain,
        tissue > 0,
        None if dataset == "plain" else labels,
    )


def make_segment_store(root: Path, *datasets: str) -> Store:
    """With these datasets of CASES."""
    for dataset in datasets:
        for number, split in enumerate(CASES[dataset]):
            make_case(root, dataset, number, split)
    records = tuple(DatasetRecord(id=i, name=name, modalities=NAMES) for i, name in enumerate(datasets))
    record = StoreRecord(matrix=MATRIX, inplane_mm=1.0, modalities=NAMES, datasets=records)
    write_json(root / "store.json", record.model_dump(mode="json"))
    return Store(root)


def make_one_to_one(folder: Path) -> Path:
    """A model that takes a single source."""
    card = make_card(method="FTN", architecture=FTNArchitecture(width=2))
    save_model(folder, card.build(), card)
    return folder
