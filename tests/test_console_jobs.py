"""Many cases, one report: order, failures, exit codes; lines a machine can read; files complete or absent."""

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch

from pmmsynth.atomic import replacing, replacing_folder, sha256, sweep, write_json, write_text
from pmmsynth.console import Reporter, clock
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.jobs import map_cases

ERRORS = {
    "bad": BadInput("a.nii: 4-D", "one volume", "extract one"),
    "usage": UsageError("found b; expected c; do d"),
    "nothing": NothingToDo("found all; expected less"),
    "disk": OSError(28, "No space left on device", "out/x.nii.gz"),
    "ours": RuntimeError("a message\nof two lines"),
}


def work(item):
    if item in ERRORS:
        raise ERRORS[item]
    return item * 2


def mapped(items, jobs=1, reporter=None):
    names = [f"case-{i}" for i in items]
    return map_cases(work, items, names, label="work", jobs=jobs, reporter=reporter or Reporter(quiet=True))


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_keep_the_order_and_failures_do_not_stop_the_rest(jobs, capsys):
    outcome = mapped([3, "bad", 1, "disk", 2], jobs)
    assert outcome.results == (6, 2, 4)
    assert [(f.name, f.reason, f.is_ours) for f in outcome.failures] == [
        ("case-bad", "found a.nii: 4-D; expected one volume; extract one", False),
        ("case-disk", f"found {ERRORS['disk']}; expected to read and write there; check space and permissions", False),
    ]
    assert sorted(capsys.readouterr().err.splitlines()) == [f"{f.name}: {f.reason}" for f in outcome.failures]


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([], 0),
        ([1, 2], 0),
        (["bad"], 4),
        (["disk", "bad"], 4),
        (["usage"], 4),
        ([1, "bad"], 5),
        ([1, "nothing"], 5),
        ([1, "ours"], 70),
        (["bad", "ours"], 70),
    ],
)
def test_exit_codes(items, code):
    assert mapped(items).exit_code == code


def test_a_fault_of_ours_is_one_line_that_says_where():
    (failure,) = mapped(["ours"]).failures
    assert failure.is_ours
    place, _, message = failure.reason.partition(": ")
    assert message == "a message of two lines"
    assert place.startswith("unexpected RuntimeError in test_console_jobs.py, line ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_no_fault_of_ours(error):
    def work(item):
        raise error

    outcome = map_cases(work, [1, 2], ["a", "b"], label="x", jobs=1, reporter=Reporter(quiet=True))
    assert outcome.exit_code == 4
    for failure in outcome.failures:
        assert (failure.is_ours, failure.is_input) == (False, False)
        assert failure.reason.startswith("found too little memory (")
        assert failure.reason.endswith("lower --jobs or --memory")


def test_an_interruption_is_not_swallowed():
    def stop(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_cases(stop, [1], ["a"], label="x", jobs=1, reporter=Reporter(quiet=True))


def test_names_and_items_must_match():
    with pytest.raises(ValueError, match="zip"):
        map_cases(work, [1, 2], ["one"], label="x", jobs=1, reporter=Reporter(quiet=True))


# --- the reporter ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (9.6, "0:10"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.5, "1:00:00"),
        (3600, "1:00:00"),
        (3725, "1:02:05"),
        (90061, "25:01:01"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_plain_lines(capsys):
    reporter = Reporter(every_seconds=0)
    reporter.say("hello", count=1)
    reporter.warn("careful")
    with reporter.progress("work", 4, done=1) as advance:
        advance("first")
        advance(by=2)
    got = capsys.readouterr()
    lines = got.out.splitlines()
    assert (lines[0], got.err) == ("hello", "careful\n")
    assert lines[1].startswith("work 2/4, 0:00 left  first")
    assert lines[2] == "work 4/4, 0:00 left"


def test_lines_come_now_and_then_and_at_the_end(capsys):
    with Reporter(every_seconds=1000).progress("work", 5) as advance:
        for _ in range(5):
            advance()
    assert capsys.readouterr().out == "work 5/5, 0:00 left\n"


def test_time_left_counts_what_was_done_here(capsys, monkeypatch):
    times = iter([100.0, 120.0])
    monkeypatch.setattr("pmmsynth.console.time.monotonic", lambda: next(times))
    with Reporter().progress("work", 100, done=90) as advance:
        advance(by=2)
    assert capsys.readouterr().out == "work 92/100, 1:20 left\n"


def test_quiet_says_only_what_is_wrong(capsys):
    reporter = Reporter(quiet=True, every_seconds=0)
    reporter.say("hello")
    with reporter.progress("work", 1) as advance:
        advance()
    reporter.warn("careful")
    reporter.remark("by the way")
    got = capsys.readouterr()
    assert (got.out, got.err) == ("", "careful\n")
    Reporter().remark("by the way")
    assert capsys.readouterr().err == "by the way\n"


def test_json_lines_are_json_whatever_they_hold(capsys):
    reporter = Reporter(as_json=True, every_seconds=0)
    reporter.say("two\nlines", place=Path("a"), psnr=float("inf"), loss=float("nan"), best=1.5, names=("ä",))
    reporter.warn("careful", case="x")
    Reporter(as_json=True, quiet=True).remark("by the way")
    with reporter.progress("work", 1) as advance:
        advance("note")
    got = capsys.readouterr()

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    said = [json.loads(line, parse_constant=refuse) for line in got.out.splitlines()]
    assert said[0] == {
        "message": "two\nlines",
        "place": "a",
        "psnr": None,
        "loss": None,
        "best": 1.5,
        "names": ["ä"],
    }
    assert said[1:3] == [{"warning": "careful", "case": "x"}, {"warning": "by the way"}]
    assert (said[3]["stage"], said[3]["done"], said[3]["total"], said[3]["seconds_left"]) == ("work", 1, 1, 0)
    assert got.err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Reporter().progress("work", 2) as advance:
        advance("first")
        advance("second")
    assert "work" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()


# --- complete or absent ---------------------------------------------------------------------------------------------


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
