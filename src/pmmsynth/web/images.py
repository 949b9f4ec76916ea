"""The images of an item as bytes, read so that no name leads out of the study's folder."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pmmsynth.errors import BadInput
from pmmsynth.study.files import IMAGES, StudyRecord

_HEADER = 352
"""Bytes of a NIfTI-1 file before its voxels."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe in its place must not make anybody wait


def read_image(study: Path, images: str, sequence: str) -> bytes:
    """One volume, whole. Raises OSError if it is not an ordinary file in its place."""
    with _opened(study, images, sequence) as file, os.fdopen(file, "rb", closefd=False) as stream:
        return stream.read()


def check_images(study: Path, record: StudyRecord) -> None:
    """See that every image is there, and that those of an item differ in their voxels only. Raises BadInput."""
    for images in dict.fromkeys(item.images for reader in record.readers for item in reader.items):
        facts = set()
        for sequence in record.sequences:
            place = f"{study / IMAGES / images / sequence}.nii"
            try:
                with _opened(study, images, sequence) as file:
                    facts.add((os.fstat(file).st_size, os.pread(file, _HEADER, 0)))
            except OSError as error:
                raise BadInput(
                    f"{place}: {error.strerror}", "an image of the study", "take it from a backup"
                ) from error
        if len(facts) > 1:
            raise BadInput(
                f"{study / IMAGES / images}: images that differ in size or header, which may tell what is real",
                "images that differ in their voxels only",
                "make the study again",
            )


@contextmanager
def _opened(study: Path, images: str, sequence: str) -> Iterator[int]:
    """The file of a volume; every step down is taken from the folder before and follows no link."""
    descriptors: list[int] = []
    try:
        descriptors.append(os.open(study, os.O_RDONLY | os.O_DIRECTORY))
        for name in (IMAGES, images):
            descriptors.append(os.open(name, _FOLDER, dir_fd=descriptors[-1]))
        descriptors.append(os.open(f"{sequence}.nii", _FILE, dir_fd=descriptors[-1]))
        if not stat.S_ISREG(os.fstat(descriptors[-1]).st_mode):
            raise OSError(0, "not an ordinary file")
        yield descriptors[-1]
    finally:
        for descriptor in reversed(descriptors):
            os.close(descriptor)
