"""Which files of a folder are volumes we may read, in an order that does not depend on the file system."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pmmsynth.errors import BadInput
from pmmsynth.volume import SUFFIXES

_SYNTHETIC = re.compile(r"(?:^|_)desc-synth(?=[_.]|$)")
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Line breaks and other commands, and what stands for bytes that are not UTF-8."""


def all_under(root: Path) -> list[Path]:
    """Everything below `root` that is not hidden, folders as well, sorted.

    Links to folders are followed. Each folder is entered once: by its own name, else by the first link to it.

    Raises:
        BadInput: For a folder that cannot be read: what is in it would count as gone.
    """
    found, entered, starts = [], set(), [root]
    for start in starts:  # grows by the links that are met
        for folder, below, files in os.walk(start, onerror=_refuse):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in entered:
                below.clear()
                continue
            entered.add((status.st_dev, status.st_ino))
            below[:] = sorted(name for name in below if not name.startswith("."))
            found += [Path(folder, name) for name in (*below, *files) if not name.startswith(".")]
            starts += [path for name in below if (path := Path(folder, name)).is_symlink()]
    return sorted(found)


def volumes_under(root: Path) -> Iterator[Path]:
    """Every NIfTI file below `root`, sorted; hidden and synthetic ones left out.

    Raises:
        BadInput: For a folder that cannot be read, or a name that cannot be written in a line of UTF-8.
    """
    for path in all_under(root):
        if path.name.lower().endswith(SUFFIXES) and not is_synthetic(path):
            check_name(path)
            yield path


def is_synthetic(path: Path) -> bool:
    """Whether the file's name says that this package made it; desc-synthstrip and desc-synthseg are of real scans."""
    return _SYNTHETIC.search(path.name) is not None


def check_name(path: Path) -> None:
    """Raises BadInput for a name that cannot be written in a line of UTF-8."""
    if _NO_TEXT.search(str(path)):
        raise BadInput(f"the file name {str(path)!r}", "UTF-8 without line breaks", "rename it")


def stem(path: Path) -> str:
    """The file name without .nii or .nii.gz."""
    return path.name[: -len(next(s for s in SUFFIXES if path.name.lower().endswith(s)))]


def enter_once(places: dict[str, Path], name: str, path: Path, expected: str, remedy: str) -> None:
    """Note in `places` where something of a name is.

    Raises:
        BadInput: If that is somewhere else already.
    """
    if (other := places.setdefault(name, path)) != path:
        raise BadInput(f"{name} twice: {other} and {path}", expected, remedy)


def _refuse(error: OSError) -> None:
    raise BadInput(
        f"the folder {error.filename}: {error.strerror}", "one that can be read", "allow reading it, or move it away"
    ) from error
