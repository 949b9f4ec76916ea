"""Which files of a folder are volumes we may read, in an order that does not depend on the file system."""

from collections.abc import Iterator
from pathlib import Path

from pmmsynth.volume import SUFFIXES

SYNTHETIC = "desc-synth"
"""Volumes this package wrote; they are never taken for acquired ones."""


def volumes_under(root: Path) -> Iterator[Path]:
    """Every NIfTI file below `root`, sorted; hidden and synthetic ones left out."""
    for path in sorted(root.rglob("*.nii*")):
        below = path.relative_to(root).parts
        if path.name.lower().endswith(SUFFIXES) and not any(p.startswith(".") or SYNTHETIC in p for p in below):
            yield path


def stem(path: Path) -> str:
    """The file name without .nii or .nii.gz."""
    return path.name[: -len(next(s for s in SUFFIXES if path.name.lower().endswith(s)))]
