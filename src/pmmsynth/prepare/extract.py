"""Brain masks of heads with skull: deepbet as installed, HD-BET and SynthStrip where their commands are."""

import contextlib
import io
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pmmsynth.case import Extractor
from pmmsynth.errors import BadInput, UsageError, is_of_memory
from pmmsynth.volume import Volume, read_volume

if TYPE_CHECKING:
    from deepbet import BrainExtraction

COMMANDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "hd-bet": (
        ("hd-bet", "-i", "image.nii.gz", "-o", "out.nii.gz", "--save_bet_mask", "--no_bet_image", "-device", "cpu"),
        "out_bet.nii.gz",
    ),
    "synthstrip": (("mri_synthstrip", "-i", "image.nii.gz", "-m", "mask.nii.gz"), "mask.nii.gz"),
}
"""What is run in an empty folder, and the mask it leaves there."""
BRAIN_ML = (500, 2600)
"""What a mask must measure to be believed."""


def extract_brain(volume: Volume, extractor: Extractor = "deepbet") -> NDArray[np.bool_]:
    """The brain of a head, on the grid of the volume.

    Args:
        volume: A sequence with skull. deepbet learned from T1; how well it does on others stands in
            docs/explanation/raw-scans.md.
        extractor: What makes the mask.

    Raises:
        BadInput: If what it finds cannot be a brain.
        UsageError: If the extractor is not installed.
    """
    mask = _deepbet(volume) if extractor == "deepbet" else _command(volume, extractor)
    ml = float(mask.sum() * np.prod(volume.grid.spacing) / 1000)
    if not BRAIN_ML[0] <= ml <= BRAIN_ML[1]:
        raise BadInput(
            f"{volume.path}: {extractor} finds a brain of {ml:.0f} ml",
            f"{BRAIN_ML[0]} to {BRAIN_ML[1]} ml",
            "look at the image; try another extractor or give a mask",
        )
    return mask


def _deepbet(volume: Volume) -> NDArray[np.bool_]:
    try:
        _, mask, _ = _network().run(nib.Nifti1Image(volume.data, volume.affine))
    except (AssertionError, ValueError, RuntimeError) as error:  # nothing in it is like a brain, or a single slice
        if is_of_memory(error):
            raise
        raise BadInput(
            f"{volume.path}: deepbet finds no brain ({' '.join(str(error).split())})",
            "an image of a head",
            "look at the image; try another extractor or give a mask",
        ) from error
    return np.asarray(mask.dataobj) > 0


@cache
def _network() -> "BrainExtraction":
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of TorchScript's deprecation
        from deepbet import BrainExtraction

        return BrainExtraction(no_gpu=True)


def _command(volume: Volume, extractor: Extractor) -> NDArray[np.bool_]:
    command, made = COMMANDS[extractor]
    if not shutil.which(command[0]):
        raise UsageError(f"found no command {command[0]}; expected it for {extractor}; install it or use deepbet")
    with tempfile.TemporaryDirectory() as folder:
        nib.save(nib.Nifti1Image(volume.data, volume.affine), Path(folder) / "image.nii.gz")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode or not (Path(folder) / made).is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            said = f"{command[0]} ended with code {done.returncode} ({last[0]})"
            if done.returncode == -signal.SIGKILL or is_of_memory(RuntimeError(last[0])):  # who kills it is the system
                raise MemoryError(said)
            raise BadInput(f"{volume.path}: {said}", "a mask", "run it by hand on this file")
        return read_volume(Path(folder) / made).data > 0
