"""Files that are complete or absent, and folders with one writer: write to a temporary name beside, sync, rename."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pmmsynth.errors import UsageError

_WRITING, _ASIDE = ".writing-", ".replaced-"
PATIENCE = 10.0
"""Seconds to wait for another writer: the workers of a killed one need a few to notice that it is gone."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file path with the suffixes of `path`; on success it becomes `path`, else it is gone.

    Example:
        with replacing(out) as temporary:
            temporary.write_text("...")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, "".join(path.suffixes[-2:]))
    temporary.touch(exist_ok=False)
    try:
        with naming(path, temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files; an existing folder at `path` is replaced only when all is written.

    A folder cannot take another's place in one step: a kill in between leaves the old one aside, and `sweep` brings it
    back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    old = path.with_name(f"{_ASIDE}{path.name}")
    try:
        with naming(path, temporary):
            yield temporary
            for file in filter(Path.is_file, temporary.rglob("*")):  # or a power cut leaves the name of an empty file
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        if path.is_dir():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.is_dir():
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name `path` in errors of the system that name no file (those of files open already) or the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (temporary and str(error.filename).startswith(str(temporary))):
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        raise


def sweep(folder: Path) -> None:
    """Undo what a killed process left anywhere below `folder`: half-written files and folders, folders put aside."""
    for aside in list(folder.rglob(f"{_ASIDE}*")):
        place = aside.with_name(aside.name.removeprefix(_ASIDE))
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(place)
    for leftover in list(folder.rglob(f"{_WRITING}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a folder, made if it is not there, against other processes that would write there.

    The hold is on the folder itself: it ends with the process, however that ends, and leaves no file. Where a file
    system knows no such hold (some network drives) there is none. Folders made here and still empty go again.

    Raises:
        UsageError: If another process holds it, after PATIENCE.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    end = time.monotonic() + PATIENCE
    while (handle := _hold(folder)) is None:
        if time.monotonic() > end:
            raise UsageError(
                f"found another process that writes to {folder}; expected one at a time; wait for it, or stop it"
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        for place in made:
            with suppress(OSError):  # not empty
                place.rmdir()
        os.close(handle)


def refuse_other_things(folder: Path, *, marker: str, kind: str) -> None:
    """Raise UsageError if a folder has other things in it, which must not be overwritten; hidden files do not count.

    Args:
        folder: Where a command is to write; it need not be there.
        marker: What the command writes first: a folder with it is the command's own.
        kind: What such a folder holds ("evaluation").
    """
    others = [] if (folder / marker).exists() or not folder.is_dir() else folder.iterdir()
    if any(not path.name.startswith(".") for path in others):
        raise UsageError(f"found files but no {kind} in {folder}; expected such or an empty folder; choose another")


def _hold(folder: Path) -> int | None:
    """A handle that holds the folder; None if another process does, or has just taken the folder away."""
    with suppress(BlockingIOError, FileNotFoundError), ExitStack() as opened:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        opened.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # no such thing here
        if os.path.samestat(os.fstat(handle), folder.stat()):
            opened.pop_all()
            return handle
    return None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; one that holds the text already is left as it is."""
    with naming(path):
        if path.is_file() and path.read_bytes() == text.encode():
            return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, readable, with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path, suffix: str = "") -> Path:
    """A name that nothing has. What is made under it gets the permissions any other file would."""
    return path.with_name(f"{_WRITING}{uuid4().hex}{suffix}")
