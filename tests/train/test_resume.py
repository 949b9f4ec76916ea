"""An interrupted run ends with the weights of the unbroken one, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children, current_process
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from compare_runs import rows, same
from phantoms import COHORT, make_store
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.model import load_model
from pmmsynth.store import Store, write_case
from pmmsynth.train import Stopped, loop, tiny, train
from pmmsynth.train.learner import Learner

QUIET = Reporter(quiet=True)
EVERY_STEP = replace(tiny(), checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store and an unbroken run on it."""
    folder = tmp_path_factory.mktemp("finished")
    train(make_store(folder / "store", COHORT), folder / "run", EVERY_STEP, reporter=QUIET)
    return folder


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(finished / "store", tmp_path / "store"))


@pytest.fixture
def unbroken(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished / "run", tmp_path / "unbroken")


@pytest.mark.parametrize("at", [1, 5, 9])
def test_sigterm_saves_and_the_same_call_goes_on(
    store: Store, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    real, calls = Learner.step, 0

    def interrupted(*args: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", interrupted)
    config = replace(EVERY_STEP, checkpoint_seconds=1e9)  # only the signal saves
    run = tmp_path / "run"
    with pytest.raises(Stopped) as stopped:
        train(store, run, config, reporter=QUIET)
    assert stopped.value.exit_code == 130
    assert calls == at
    train(store, run, config, reporter=QUIET)
    assert same(run, unbroken)
    assert rows(run) == rows(unbroken)
    assert load_file(run / "model" / "model.safetensors").keys()


def test_a_run_stopped_after_its_last_step_is_the_same(
    store: Store, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step follows that would set a learning rate: none is kept."""
    run = tmp_path / "run"
    real = loop.Run.save

    def stopped(self: loop.Run, path: Path) -> None:
        real(self, path)
        if self.global_step == EVERY_STEP.epochs * self.scheduler.steps:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(store, run, EVERY_STEP, reporter=QUIET)
    assert not (run / "samples" / "epoch_0002.png").exists()
    train(store, run, EVERY_STEP, reporter=QUIET)
    assert same(run, unbroken)


def test_a_signal_during_the_last_validation_is_heard(
    store: Store, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps are done and saved; what is left, weighing against regression, is for the next call."""
    run, real = tmp_path / "run", loop.validate

    def interrupted(*args: object) -> object:
        if not (run / "samples" / "epoch_0002.png").exists() and (run / "samples" / "epoch_0001.png").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "validate", interrupted)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "shrink_model", lambda *_: pytest.fail("went on"))
        with pytest.raises(Stopped):
            train(store, run, EVERY_STEP, reporter=QUIET)
    train(store, run, EVERY_STEP, reporter=QUIET)
    assert same(run, unbroken)
    assert load_model(run / "model")[1].shrinkage == load_model(unbroken / "model")[1].shrinkage


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_sigterm_to_the_processes_that_read_slices_too(
    store: Store, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Slurm signals all processes of a job, and Ctrl-C all of a terminal."""
    real, calls = Learner.step, 0
    others = set(active_children())  # workers that other tests of this process keep waiting

    def interrupted(*args: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 3:
            processes = [*set(active_children()) - others, current_process()]
            assert len(processes) == 3
            subprocess.run(["kill", "-TERM", *(str(p.pid) for p in processes)], check=True)
            time.sleep(0.5)
        return real(*args)  # type: ignore[arg-type]

    loader = loop.DataLoader
    monkeypatch.setattr(loop, "DataLoader", lambda *args, **kind: loader(*args, **(kind | {"num_workers": 2})))
    monkeypatch.setattr(Learner, "step", interrupted)
    with pytest.raises(Stopped):
        train(store, tmp_path / "run", EVERY_STEP, reporter=QUIET)
    assert calls == 3
    train(store, tmp_path / "run", EVERY_STEP, reporter=QUIET)
    assert same(tmp_path / "run", unbroken)


def test_a_finished_run_does_nothing_more(store: Store, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (unbroken / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(Learner, "step", lambda *_: pytest.fail("trained again"))
    train(store, unbroken, EVERY_STEP, reporter=QUIET)
    assert (unbroken / "metrics.jsonl").read_bytes() == before


def test_a_run_that_does_not_say_its_cases_is_refused(store: Store, unbroken: Path) -> None:
    """Else it could go on with others, and be scored on those it had learned from."""
    (unbroken / "provenance.json").unlink()
    with pytest.raises(BadInput, match=r"no provenance.json beside checkpoints; expected what says which cases"):
        train(store, unbroken, EVERY_STEP, reporter=QUIET)
    assert not (unbroken / "provenance.json").exists()


@pytest.mark.parametrize("shrink", [True, False])
def test_a_finished_run_whose_model_is_gone_says_so(store: Store, tmp_path: Path, shrink: bool) -> None:
    config = replace(tiny(), shrink=shrink)
    shutil.rmtree(train(store, tmp_path / "run", config, reporter=QUIET))
    with pytest.raises(BadInput, match=r"training has ended, and there is no model; expected the weights of the best"):
        train(store, tmp_path / "run", config, reporter=QUIET)


def test_other_settings_or_cases_are_refused(store: Store, unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"batch_size: 2 / 3.*choose another --out"):
        train(store, unbroken, replace(EVERY_STEP, batch_size=3), reporter=QUIET)
    case = next(store.cases("train"))
    images = case.images()[...] * np.float16(0.5)
    write_case(case.folder, case.record, images, case.brain(), case.lesion())
    with pytest.raises(UsageError, match="other cases"):
        train(store, unbroken, EVERY_STEP, reporter=QUIET)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="found files but no run"):
        train(store, tmp_path / "other", EVERY_STEP, reporter=QUIET)


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "empty", "gone", "of another network"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    store: Store, unbroken: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    last = run / "checkpoints" / "last.pt"
    whole = bytearray(last.read_bytes())
    if damage == "flipped bit":  # in the middle of a weight: torch.load would take it
        whole[len(whole) // 2] ^= 0x10
    changed = {"truncated": whole[: len(whole) // 2], "empty": b"", "flipped bit": whole}
    if damage == "gone":
        last.unlink()
    elif damage == "of another network":
        torch.save({"generator": {}}, last)
    else:
        last.write_bytes(changed[damage])
    train(store, run, EVERY_STEP, reporter=Reporter())
    assert same(run, unbroken)
    assert rows(run) == rows(unbroken)
    assert ("going on from" in capsys.readouterr().err) == (damage != "gone")
    assert (run / "checkpoints" / "damaged.pt").is_file() == (damage != "gone")


def test_a_damaged_checkpoint_without_another_is_named(store: Store, unbroken: Path) -> None:
    last = unbroken / "checkpoints" / "last.pt"
    (unbroken / "checkpoints" / "previous.pt").unlink()
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"last\.pt.*remove the file to begin again"):
        train(store, unbroken, EVERY_STEP, reporter=QUIET)


@pytest.mark.slow
def test_kill_minus_nine_anywhere(store: Store, tmp_path: Path, unbroken: Path) -> None:
    """Killed at random moments (also while writing), the same command ends with the same weights."""
    run, config = tmp_path / "run", tmp_path / "config.toml"
    config.write_text(EVERY_STEP.toml())
    command = [sys.executable, "-m", "pmmsynth", "train", str(store.root), "--out", str(run), "--config", str(config)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: other numbers of threads sum in another order
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread)
        while process.poll() is None and not (run / "config.toml").is_file():
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 1.0))
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed >= 3
    assert subprocess.run(command, check=True, capture_output=True, env=one_thread).returncode == 0
    assert same(run, unbroken)
    assert rows(run) == rows(unbroken)
    assert not list(run.rglob(".writing-*"))


def test_rows_that_are_damaged_are_left_out(store: Store, unbroken: Path) -> None:
    """As is a last one cut short by a kill."""
    before = rows(unbroken)
    with (unbroken / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n" + b"[" * 100_000 + b"\n{}\n7\n" + b'{"global_step": 1, "epo')
    train(store, unbroken, EVERY_STEP, reporter=QUIET)
    assert rows(unbroken) == before
