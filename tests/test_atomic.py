"""Files and folders are complete or absent."""

import json
import os
import re
from pathlib import Path

import pytest

from pmmsynth.atomic import replacing, replacing_folder, sha256, sweep, write_json, write_text


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def interrupted(place, write, error):
    with place as temporary:
        write(temporary)
        raise error


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "a.nii.gz"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.name.endswith(".nii.gz")
        assert temporary.name.startswith(".writing-")
        assert not path.exists()
    assert path.read_text() == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert below(tmp_path) == ["deep", "deep/er", "deep/er/a.nii.gz"]


def test_writing_leaves_the_umask_alone(tmp_path, monkeypatch):
    """It belongs to the whole process: another thread that writes at the same time would read what this one sets."""
    monkeypatch.delattr(os, "umask")
    write_text(tmp_path / "a.txt", "x")
    with replacing_folder(tmp_path / "b") as temporary:
        fill(temporary, new="1")
    assert below(tmp_path) == ["a.txt", "b", "b/new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.json"
    for old in (None, "old"):
        if old:
            path.write_text(old)

        with pytest.raises(error):
            interrupted(replacing(path), lambda temporary: temporary.write_text("half"), error)
        assert below(tmp_path) == (["a.json"] if old else [])
    assert path.read_text() == "old"


def test_a_folder_at_the_place_of_a_file_is_an_error_without_rest(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "x")
    assert below(tmp_path) == ["a.txt"]


def test_a_file_that_holds_the_text_is_left_as_it_is(tmp_path):
    write_text(tmp_path / "a.txt", "grün")
    before = (tmp_path / "a.txt").stat()
    write_text(tmp_path / "a.txt", "grün")
    after = (tmp_path / "a.txt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_text(tmp_path / "a.txt", "grau")
    assert (tmp_path / "a.txt").read_text() == "grau"


def test_text_and_json(tmp_path):
    write_text(tmp_path / "a.txt", "grün\n")
    assert (tmp_path / "a.txt").read_bytes() == "grün\n".encode()
    write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, 2.5, None]}
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def fill(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "model"
    fill(path, old="1", both="1")
    with replacing_folder(path) as temporary:
        fill(temporary, new="2", both="2")
        assert (path / "both").read_text() == "1"
    assert below(tmp_path) == ["model", "model/both", "model/new"]
    assert (path / "both").read_text() == "2"


def test_every_file_of_a_folder_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    """Else a power cut right after leaves names of empty files."""
    synced = []

    def sync(handle):
        synced.append(os.fstat(handle).st_ino)
        assert not (tmp_path / "x").exists()

    monkeypatch.setattr(os, "fsync", sync)
    with replacing_folder(tmp_path / "x") as temporary:
        (temporary / "in").mkdir()
        for name in ("a", "in/b"):
            (temporary / name).write_bytes(b"1")
    assert {(tmp_path / "x" / name).stat().st_ino for name in ("a", "in/b")} == set(synced)


def test_a_failed_folder_keeps_the_old_one(tmp_path):
    path = tmp_path / "model"
    for old in (False, True):
        if old:
            fill(path, old="1")

        with pytest.raises(KeyError):
            interrupted(replacing_folder(path), lambda temporary: fill(temporary, new="half"), KeyError)
        assert below(tmp_path) == (["model", "model/old"] if old else [])


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "model"
    fill(path, old="1")
    rename = Path.rename

    def refuse(self, target):
        if Path(target) == path and not self.name.startswith(".replaced-"):
            raise OSError("refused")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="refused"), replacing_folder(path) as temporary:
        fill(temporary, new="2")
    assert below(tmp_path) == ["model", "model/old"]


class Killed(BaseException):
    """Nothing after the point where it is raised runs in a killed process; here, nothing that catches OSError."""


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "run" / "model"
    path.mkdir(parents=True)
    fill(path, old="1")
    rename = Path.rename

    def killed(self, target):
        if Path(target) == path:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Killed), replacing_folder(path) as temporary:
            fill(temporary, new="2")
    assert not path.exists()
    sweep(tmp_path)
    assert below(tmp_path / "run") == ["model", "model/old"]
    with replacing_folder(path) as temporary:
        fill(temporary, new="3")
    assert below(tmp_path / "run") == ["model", "model/new"]


def test_sweep_removes_what_was_put_aside_where_the_new_one_stands(tmp_path):
    (tmp_path / "model").mkdir()
    fill(tmp_path / ".replaced-model", old="1")
    fill(tmp_path / "model", new="2")
    sweep(tmp_path)
    assert below(tmp_path) == ["model", "model/new"]


def test_sweep_removes_leftovers_only(tmp_path):
    fill(tmp_path / ".writing-folder", half="x")
    fill(tmp_path / "case", **{".writing-file.npy": "x", "whole.npy": "x", "writing-notes": "x"})
    sweep(tmp_path)
    sweep(tmp_path / "nothing")
    assert below(tmp_path) == ["case", "case/whole.npy", "case/writing-notes"]


@pytest.mark.parametrize("write", [replacing, replacing_folder])
def test_an_error_names_the_file_that_was_meant(tmp_path, write):
    """Not the temporary one, nor none, as of a file that is open already; another file keeps its name."""
    path = tmp_path / "a.npy"
    for error, named in (
        (lambda temporary: OSError(28, "No space left on device"), path),
        (lambda temporary: OSError(28, "No space left on device", str(temporary)), path),
        (lambda temporary: OSError("100 requested and 10 written"), path),
        (lambda temporary: FileNotFoundError(2, "No such file", "b.npy"), "b.npy"),
    ):
        with pytest.raises(OSError, match=re.escape(f": '{named}'")), write(path) as temporary:
            raise error(temporary)
    assert below(tmp_path) == []
