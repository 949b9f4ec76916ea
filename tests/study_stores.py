"""A store of brains with all six sequences, smooth and of many values, and a tiny model for it."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from model_phantoms import make_model, mean
from phantoms import inputs_of
from pmmsynth.atomic import write_json
from pmmsynth.modality import KNOWN, Task
from pmmsynth.model import DatasetCard, Shrinkage
from pmmsynth.store import CaseRecord, DatasetRecord, GridRecord, Store, StoreRecord, write_case
from pmmsynth.study.sets import SETS
from pmmsynth.volume import Grid

MATRIX, SLICES, SPACING = 64, 16, (2.0, 2.0, 5.0)
LESION_AT = 4
"""The slice with most lesion."""


def make_study_store(root: Path, cases: int = 4, *, incomplete: int = 0) -> Store:
    """Cases P0, P1, ... of dataset A, all in test; the last ones lack DWI."""
    for number in range(cases + incomplete):
        _make_case(root, number, KNOWN if number < cases else tuple(m for m in KNOWN if m != "DWI"))
    record = StoreRecord(
        matrix=MATRIX,
        inplane_mm=SPACING[0],
        modalities=KNOWN,
        datasets=(DatasetRecord(id=0, name="A", modalities=KNOWN),),
    )
    write_json(root / "store.json", record.model_dump(mode="json"))
    return Store(root)


def make_study_model(folder: Path) -> Path:
    """Little of a random network on much of a regression: darker than real, of less contrast, seldom 0 or 1."""
    dataset = DatasetCard(id=0, name="A", modalities=KNOWN, intensity={m: mean(1000.0) for m in KNOWN})
    tasks = [Task(each.real, target) for each in SETS for target in each.synthesized]
    kept = {
        str(task): Shrinkage(weight=0.1, regression={"A": (0.05, *(0.4 / len(task.sources) for _ in task.sources))})
        for task in tasks
    }
    changes = {"modalities": KNOWN, "datasets": (dataset,), "matrix": MATRIX, "inplane_mm": SPACING[0]}
    return make_model(folder, shrinkage=kept, **changes)


def _make_case(root: Path, number: int, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(number)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (SLICES, MATRIX, MATRIX)), indexing="ij")
    brain = z**2 + (y / 0.9) ** 2 + (x / rng.uniform(0.7, 0.8)) ** 2 < 1
    lesion = np.zeros_like(brain)
    lesion[LESION_AT - 1 : LESION_AT + 2, 30:34, 30:34] = True
    lesion[LESION_AT, 28:36, 28:36] = True
    anatomy = gaussian_filter(rng.normal(size=brain.shape), (1, 3, 3))
    images = []
    for _ in names:
        image = anatomy + gaussian_filter(rng.normal(size=brain.shape), (1, 2, 2)) + 0.2 * lesion
        image = (image - image[brain].mean()) / image[brain].std()
        images.append(np.clip(0.25 + 0.08 * image, 0, 1) * brain)
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = 70 + number, 40, -7
    grid = GridRecord.of(Grid((MATRIX, MATRIX, SLICES), affine))
    record = CaseRecord(
        dataset="A",
        case=f"P{number}",
        subject=f"P{number}",
        session=None,
        split="test",
        modalities=names,
        reference="T1",
        native=grid,
        prepared=grid,
        intensity={m: mean(1000.0) for m in names},
        brain_fraction=tuple(brain.mean(axis=(1, 2)).tolist()),
        quality={},
        has_lesion=True,
        inputs=inputs_of("A", f"P{number}", names),
        settings="test",
        software="test",
    )
    write_case(root / "A" / f"P{number}", record, np.stack(images), brain, lesion)
