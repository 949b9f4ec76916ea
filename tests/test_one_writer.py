"""Two processes never write to one folder at a time, and a killed one leaves nothing in the way of the next."""

import errno
import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_phantoms import voxels, write_classic
from pmmsynth import atomic
from pmmsynth.atomic import only_writer
from pmmsynth.cli import main
from pmmsynth.errors import UsageError
from segment_phantoms import make_segment_store

HOLD = "import sys; from pathlib import Path; from pmmsynth.atomic import only_writer\n"
HOLD += "with only_writer(Path(sys.argv[1])): print('held', flush=True); input()"


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "PATIENCE", 0.2)


@pytest.mark.usefixtures("impatient")
def test_one_at_a_time_and_a_kill_frees_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    with another_process(folder) as process:
        reason = f"another process that writes to {folder}; expected one at a time"
        with pytest.raises(UsageError, match=reason), only_writer(folder):
            pytest.fail("two at a time")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with only_writer(folder), pytest.raises(UsageError), only_writer(folder):
            pytest.fail("two in one process")
    with only_writer(folder):
        assert not list(folder.iterdir()), "no file is left, or needed"
    assert folder.is_dir(), "it was there before"
    with only_writer(tmp_path / "new" / "deeper"):
        pass
    assert not (tmp_path / "new").exists(), "nothing was written"
    with only_writer(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    assert (tmp_path / "new" / "file").is_file()


def test_a_second_one_waits_a_while(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        assert process.stdin
        process.stdin.close()  # it ends
        with only_writer(tmp_path):
            pass


@pytest.mark.usefixtures("impatient")
def test_a_folder_that_another_process_took_away_is_made_and_held_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flock, times = tmp_path / "new", fcntl.flock, []

    def late(handle: int, operation: int) -> None:
        """The other one fails, and its empty folder goes, between our opening and our holding it."""
        times.append(handle)
        if len(times) == 1:
            folder.rmdir()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with only_writer(folder):
        assert len(times) == 2
        with pytest.raises(UsageError), only_writer(folder):
            pytest.fail("two at a time")


def test_where_nothing_can_be_held_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with only_writer(tmp_path), only_writer(tmp_path):
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "verb",
    [
        ["train", "STORE", "--out", "OUT", "--preset", "tiny"],
        ["segment", "train", "STORE", "--out", "OUT", "--steps", "1", "--width", "2"],
        ["evaluate", "STORE", "--out", "OUT"],
        ["prepare", "COHORT", "--out", "OUT"],
        ["convert", "DICOM", "--out", "OUT"],
    ],
    ids=lambda verb: " ".join(verb[:2]),
)
def test_verbs_refuse_and_touch_nothing(verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = make_segment_store(tmp_path / "store", "A"), tmp_path / "out"
    (tmp_path / "cohort.toml").write_text('[[dataset]]\nname = "A"\nroot = "."\nlayout = "brats"\n')
    write_classic(tmp_path / "dicom", voxels(), "T1")
    places = {"STORE": store.root, "OUT": out, "COHORT": tmp_path / "cohort.toml", "DICOM": tmp_path / "dicom"}
    with another_process(out):
        assert main([str(places.get(word, word)) for word in verb]) == 2
        assert "found another process that writes to" in capsys.readouterr().err
        assert not list(out.iterdir())
