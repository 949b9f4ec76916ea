"""How many processes there are, and what is refused or counted before any of them starts."""

from dataclasses import replace
from pathlib import Path

import pytest
import tyro

from pmmsynth.cli import Train
from pmmsynth.console import Reporter
from pmmsynth.errors import UsageError
from pmmsynth.store import Store
from pmmsynth.train import describe, launch, tiny, train
from pmmsynth.train.distributed import launched
from pmmsynth.train.run import open_run, read_provenance, training_card

QUIET = Reporter(quiet=True)
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, (1, 1)),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}, (4, 2)),
        ({"SLURM_STEP_NUM_TASKS": "6", "SLURM_NNODES": "3"}, (2, 3)),
        ({"SLURM_NTASKS": "6", "SLURM_NNODES": "3"}, (1, 1)),  # in a batch script, outside srun
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NNODES": "1"}, (1, 1)),
    ],
)
def test_who_started_us(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: tuple[int, int]) -> None:
    set_all(monkeypatch, variables)
    assert launched() == found


def test_what_would_wait_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one store for all attempts restarted processes may take the addresses of dead ones for those of others."""
    set_all(monkeypatch, {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1"})
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    with pytest.raises(UsageError, match=r"--max-restarts.*TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"):
        launched()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    assert launched() == (2, 1)


def test_processes_do_not_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1"})
    with pytest.raises(UsageError, match="found --devices 2 under torchrun or srun"):
        launch(2, ["train"])


@pytest.mark.parametrize(
    "options",
    [
        ["store", "--out", "run"],
        ["a store", "--out", "run", "--preset", "tiny", "--learning-rate", "1e-05", "--seed", "0", "--quiet"],
        ["store", "--out", "run", "--config", "c.toml", "--batch-size", "3", "--accelerator", "cpu", "--json"],
    ],
)
def test_every_process_is_told_the_same(options: list[str]) -> None:
    asked = tyro.cli(Train, args=[*options, "--devices", "2"])
    verb, *told = asked._arguments()
    assert verb == "train"
    assert tyro.cli(Train, args=told) == replace(asked, devices=1)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("devices", ["0", "-1"])
def test_fewer_than_one_process_is_refused(store: Store, tmp_path: Path, devices: str, more: list[str]) -> None:
    asked = tyro.cli(Train, args=[str(store.root), "--out", str(tmp_path / "run"), "--devices", devices, *more])
    with pytest.raises(UsageError, match=f"found --devices {devices}; expected 1 or more"):
        asked.run()


def test_the_plan_counts_all_processes(store: Store) -> None:
    """16 slices of A, 7 and 8 of B: 4 + 2 + 2 batches of 4."""
    alone, together = (describe(store, tiny(), processes=n).splitlines()[-1] for n in (1, 2))
    assert alone == "# 16 steps of 2 slices per epoch, 32 steps in all"
    assert together == "# 8 steps of 4 slices (2 in each of 2 processes) per epoch, 16 steps in all"


def test_a_run_of_more_processes_is_refused(store: Store, tmp_path: Path) -> None:
    config = tiny().resolved()
    open_run(tmp_path / "run", store, config, training_card(store, config), processes=2)
    with pytest.raises(UsageError, match=r"found a run of 2 processes.*expected the 1 of now"):
        train(store, tmp_path / "run", tiny(), reporter=QUIET)
    (tmp_path / "run" / "provenance.json").unlink()  # as after a kill before it was written
    open_run(tmp_path / "run", store, config, training_card(store, config), processes=3)
    assert read_provenance(tmp_path / "run" / "provenance.json")["processes"] == 3
