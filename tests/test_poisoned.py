"""Poisoned files: whatever stands in place of a file we read is refused in one line, and nothing of it runs."""

import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sound_files import LOADERS, NOT_SOUND, little_memory, numpy_file, refused, torch_file


class Canary:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.place),)


def pickles_in_a_zip(canary: Canary) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("archive/data.pkl", "archive/DATA.PKL", "data.pkl", "arr_0.npy", "constants.pkl"):
            archive.writestr(name, pickle.dumps(canary, protocol=2))
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


EVERYWHERE: dict[str, Callable[[Canary], bytes]] = {
    "pickle": pickle.dumps,
    "text pickle": lambda canary: pickle.dumps(canary, protocol=0),
    "torch file": lambda canary: torch_file({"generator": canary}),
    "old torch file": lambda canary: torch_file(canary, _use_new_zipfile_serialization=False),
    "pickles in a zip": pickles_in_a_zip,
    "array of objects": lambda canary: numpy_file(np.save, np.array([canary], dtype=object)),
    "arrays of objects": lambda canary: numpy_file(np.savez, np.array([canary], dtype=object)),
    "zipped pickle": lambda canary: gzip.compress(pickle.dumps(canary)),
    "nothing": lambda _: b"",
    "zeros": lambda _: bytes(1000),
    "noise": lambda _: np.random.default_rng(0).bytes(5000),
    "carriage returns": lambda _: b"}\r{\r",
    "lists in lists": lambda _: b"[" * 100_000 + b"\n",
    "tables in tables": lambda _: b'{"a":' * 100_000 + b"\n",
    "a long number": lambda _: b"9" * 100_000 + b"\n",
}


def holds_nothing(name: str, content: bytes) -> bool:
    """All settings at their defaults; no row but one cut short."""
    return (name == "config.toml" and not content) or (name == "scores.jsonl" and b"\n" not in content)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("poison", EVERYWHERE)
def test_nothing_foreign_is_read_as_ours(tmp_path: Path, name: str, poison: str) -> None:
    path, load = LOADERS[name](tmp_path)
    place = tmp_path / "sang"
    path.write_bytes(EVERYWHERE[poison](Canary(place)))
    if holds_nothing(name, path.read_bytes()):
        load()
    else:
        refused(path, load)
    assert not place.exists()


def test_the_canary_sings(tmp_path: Path) -> None:
    """So its silence elsewhere means something; and every sound file is read."""
    pickle.loads(pickle.dumps(Canary(tmp_path / "sang")))
    assert (tmp_path / "sang").is_dir()
    for name in set(LOADERS) - NOT_SOUND:
        (tmp_path / name).mkdir()
        _, load = LOADERS[name](tmp_path / name)
        with little_memory():
            assert load() is not None
