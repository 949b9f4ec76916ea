"""Phantoms for all tests: brains of ellipses with a lesion, as arrays, as a prepared store and as NIfTI."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)  # the same sums in the same order on every machine, and no waiting between small ones

if "pmmsynth" not in sys.modules:  # shapes are checked in tests, not in use
    install_import_hook(["pmmsynth.nets", "pmmsynth.losses", "pmmsynth.data", "pmmsynth.predict"], "beartype.beartype")

from phantoms import COHORT, make_store
from pmmsynth.store import (
    Store,
)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


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
