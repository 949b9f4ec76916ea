"""What training meets besides kills: numbers that are none, a full disk, a folder it may not write to."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from compare_runs import rows, same
from no_room import files_up_to
from phantoms import COHORT, make_store
from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.data import Batch, SliceDataset
from pmmsynth.losses import GeneratorLoss, generator_loss
from pmmsynth.train import tiny, train
from pmmsynth.train.learner import Learner

pytestmark = pytest.mark.slow
EVERY_STEP = replace(tiny(), checkpoint_seconds=0.0)
RARELY = "rarely.toml"
"""Settings with checkpoints only at the end of epochs."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store, of settings and of an unbroken run."""
    folder = tmp_path_factory.mktemp("finished")
    store = make_store(folder / "store", COHORT)
    (folder / "every_step.toml").write_text(EVERY_STEP.toml())
    (folder / RARELY).write_text(replace(EVERY_STEP, checkpoint_seconds=1e9).toml())
    train(store, folder / "unbroken", EVERY_STEP, reporter=Reporter(quiet=True))
    return folder


def call(finished: Path, run: Path, config: str = "every_step.toml") -> int:
    """The command whose repetition resumes."""
    return main(["train", f"{finished}/store", "--out", f"{run}", "--config", f"{finished}/{config}", "--quiet"])


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """SIGTERM during a step, once."""
    real, calls = Learner.step, 0

    def step(*args: object) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", step)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run stopped after three steps."""
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert call(finished, tmp_path / "run") == 130
    return tmp_path / "run"


def one_line(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("pmmsynth: found ")
    for part in (*parts, "; expected "):
        assert part in said.err


def ends_like_unbroken(finished: Path, run: Path, config: str = "every_step.toml") -> None:
    assert call(finished, run, config) == 0
    assert same(run, finished / "unbroken")
    assert rows(run) == rows(finished / "unbroken")
    model = Path("model", "model.safetensors")
    assert (run / model).read_bytes() == (finished / "unbroken" / model).read_bytes()


# --- not a number ---------------------------------------------------------------------------------------------------


def of_a_loss(loss: GeneratorLoss, outputs: torch.Tensor) -> GeneratorLoss:
    return replace(loss, total=loss.total * torch.nan)


def of_a_gradient(loss: GeneratorLoss, outputs: torch.Tensor) -> GeneratorLoss:
    """The value stays as it is; the gradient of a root at 0 is infinite."""
    return replace(loss, total=loss.total + (outputs * 0).sum().sqrt())


@pytest.mark.parametrize(("fault", "name"), [(of_a_loss, "loss"), (of_a_gradient, "weight")])
def test_a_step_that_is_not_finite_is_not_saved_and_says_which_it_was(
    finished: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault, name: str
) -> None:
    """Three steps are done; the third of the two that follow goes wrong, so that five are saved."""
    taken: list[str] = []
    saved: list[bytes] = []
    real = SliceDataset.__getitem__

    def getitem(slices: SliceDataset, samples: Sequence[int]) -> Batch:
        taken.append(slices.describe(samples))
        return real(slices, samples)

    def poisoned(outputs: torch.Tensor, *args: object) -> GeneratorLoss:
        loss = generator_loss(outputs, *args)  # type: ignore[arg-type]
        if len(taken) < 3:
            return loss
        saved.append((run / "checkpoints" / "last.pt").read_bytes())
        return fault(loss, outputs)

    with monkeypatch.context() as patch:
        patch.setattr(SliceDataset, "__getitem__", getitem)
        patch.setattr("pmmsynth.objective.generator_loss", poisoned)
        assert call(finished, run) == 70
    assert taken[2].count("slice") == EVERY_STEP.batch_size
    dataset = taken[2].split("/")[0]
    assert dataset in COHORT
    one_line(
        capsys, f"found a {name} that is not finite at epoch 0, step 5 on {taken[2]}: {{'generator'", "checkpoints"
    )
    assert [(run / "checkpoints" / "last.pt").read_bytes()] == saved
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (0, 5)
    ends_like_unbroken(finished, run)


# --- no room --------------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_finds_no_room(finished: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = run / "checkpoints" / "last.pt"
    before = last.read_bytes()
    with files_up_to(len(before) // 2):
        assert call(finished, run) == 4
    one_line(capsys, f"File too large: '{last}'", "check space and permissions")
    assert last.read_bytes() == before
    assert not list(run.rglob(".writing-*"))
    ends_like_unbroken(finished, run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples/epoch_0001.png", "model"])
def test_what_an_epoch_ends_with_and_finds_no_room(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run, unbroken = tmp_path / "run", finished / "unbroken"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert call(finished, run, RARELY) == 130
    capsys.readouterr()
    room = {
        "metrics.jsonl": 10,
        "samples/epoch_0001.png": (unbroken / "samples" / "epoch_0001.png").stat().st_size - 1,
        "model": (unbroken / "model" / "model.safetensors").stat().st_size - 1,
    }
    before = (run / "checkpoints" / "last.pt").read_bytes()
    with files_up_to(room[name]):
        assert call(finished, run, RARELY) == 4
    one_line(capsys, f"File too large: '{run / name}'")
    assert (run / "checkpoints" / "last.pt").read_bytes() == before
    assert not (run / "model").exists()
    assert not list(run.rglob(".writing-*"))
    ends_like_unbroken(finished, run, RARELY)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def moved(run: Path, disk: Path) -> Path:
    """The stopped run on that file system."""
    return shutil.copytree(run, disk / "run")


def test_a_disk_that_is_full(finished: Path, moved: Path, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = moved / "checkpoints" / "last.pt"
    before = last.read_bytes()
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - len(before) // 2))
    assert call(finished, moved) == 4
    one_line(capsys, f"No space left on device: '{last}'", "check space and permissions")
    assert last.read_bytes() == before
    assert not list(moved.rglob(".writing-*"))
    ballast.unlink()
    ends_like_unbroken(finished, moved)


def test_a_disk_that_is_read_only(finished: Path, moved: Path, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert call(finished, moved) == 4
    one_line(capsys, "Read-only file system", str(moved))
    assert call(finished, disk / "new") == 4
    one_line(capsys, "Read-only file system", str(disk / "new"))
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    ends_like_unbroken(finished, moved)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_to(finished: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints").chmod(0o555)
    try:
        assert call(finished, run) == 4
    finally:
        (run / "checkpoints").chmod(0o755)
    one_line(capsys, "Permission denied", str(run / "checkpoints"))
    ends_like_unbroken(finished, run)


def test_a_file_where_a_folder_should_be(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert call(finished, tmp_path / "file" / "run") == 4
    one_line(capsys, "Not a directory", str(tmp_path / "file"))
