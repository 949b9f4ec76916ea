"""Several processes do what one does with their batches together, and end together, whatever happens to one."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from phantoms import COHORT, make_store
from pmmsynth.console import Reporter
from pmmsynth.store import Store
from pmmsynth.train import learner, loop, tiny, train

QUIET = Reporter(quiet=True)
SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "train.slurm"

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
DESCENT = """
import sys
from pathlib import Path
import torch
from pmmsynth.store import Store
from pmmsynth.train import TrainConfig, learner, loop
learner.adam = lambda module, config: torch.optim.SGD(module.parameters(), lr=config.learning_rate)
loop.train(Store(Path(sys.argv[1])), Path(sys.argv[2]), TrainConfig.read(Path(sys.argv[3])))
"""
AGREEMENT = """
import json, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from torch import distributed, nn
from pmmsynth.errors import BadInput
from pmmsynth.train.distributed import LostProcess, average_gradients, averages, by_first, open_fabric
fabric = open_fabric("cpu", "32-true")
rank, said = fabric.global_rank, {}
torch.manual_seed(rank)
module = fabric.setup_module(nn.ModuleList(nn.Linear(2, 1) for _ in range(2)))
said["weights"] = [p.tolist() for p in module.parameters()]
nn.functional.linear(torch.full((1, 2), rank + 1.0), module.module[0].weight).sum().backward()
average_gradients(fabric, module)
said["gradients"] = [None if p.grad is None else p.grad.tolist() for p in module.parameters()]
said["averages"] = averages(fabric, {"rank": rank, "only one is a number": float("nan") if rank else 1.0})
said["first"] = by_first(fabric, lambda: f"rank {rank}")
def fail():
    raise BadInput("a", "b", "c")
try:
    by_first(fabric, fail)
except (BadInput, SystemExit) as error:
    said["failure"] = [type(error).__name__, getattr(error, "code", None)]
distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=1))
time.sleep(0 if rank else 2)
fabric.barrier()
said["waited"] = True
time.sleep(0 if rank else 2)
try:
    averages(fabric, {"a": 0.0})
except LostProcess as error:
    said["lost"] = str(error)
Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(said))
"""


def torchrun(processes: int, *command: object, restarts: int = 0) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, f"--max-restarts={restarts}", *map(str, command)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


def rows(folder: Path) -> list[dict[str, float]]:
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds_per_step", "data_share")} for row in kept]


def weights(folder: Path) -> torch.Tensor:
    """Of generator and discriminators, as one vector."""
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    return torch.cat([v.flatten() for part in ("generator", "adversary") for v in state[part].values()])


def ranks(launcher: int) -> dict[int, int]:
    """The processes that a launcher started: rank to process id."""
    found = {}
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(v.removeprefix(b"RANK=")): int(child) for v in variables if v.startswith(b"RANK=")}
    return found


def listening(processes: Iterable[int]) -> set[str]:
    """Addresses where these processes wait for others, as in /proc/net."""
    sockets, addresses = set(), set()
    for handle in (handle for process in processes for handle in Path(f"/proc/{process}/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed meanwhile
            sockets.add(str(handle.readlink()))
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = row.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                addresses.add(address.split(":")[0])
    return addresses


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, settings by number of processes (the same global batch) and a script."""
    folder = tmp_path_factory.mktemp("place")
    make_store(folder / "store", COHORT)
    for processes in (1, 2, 4):
        config = replace(tiny(), batch_size=4 // processes, checkpoint_seconds=0.0)
        (folder / f"adam{processes}.toml").write_text(config.toml())
        descent = replace(config, learning_rate=3e-4, checkpoint_seconds=1e9)
        (folder / f"descent{processes}.toml").write_text(descent.toml())
    (folder / "descent.py").write_text(DESCENT)
    (folder / "agreement.py").write_text(AGREEMENT)
    return folder


@pytest.fixture(scope="module")
def alone(place: Path) -> Iterator[tuple[Path, Path, torch.Tensor]]:
    """Runs of one process by Adam and by gradient descent, and the weights they began with."""
    store = Store(place / "store")
    begun: list[torch.Tensor] = []

    def descent(module: torch.nn.Module, config: object) -> torch.optim.Optimizer:
        begun.extend(p.detach().flatten().clone() for p in module.parameters())
        return torch.optim.SGD(module.parameters(), lr=3e-4)

    train(store, place / "adam", loop.TrainConfig.read(place / "adam1.toml"), reporter=QUIET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "adam", descent)
        train(store, place / "descent", loop.TrainConfig.read(place / "descent1.toml"), reporter=QUIET)
    return place / "adam", place / "descent", torch.cat(begun)


@pytest.fixture(scope="module")
def unbroken(place: Path) -> Path:
    """A run of two processes that --devices started."""
    command = [sys.executable, "-m", "pmmsynth", "train", str(place / "store"), "--out", str(place / "unbroken")]
    done = run([*command, "--config", str(place / "adam2.toml"), "--devices", "2"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model: ") == 1  # the first speaks for all
    assert (done.stdout.splitlines()[0], done.stderr) == ("2 processes, 4 slices per step", "")
    return place / "unbroken"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_do_what_one_does(place: Path, alone: tuple[Path, Path, torch.Tensor], processes: int) -> None:
    """After 16 steps of both networks, by gradient descent: to 1e-5 of how far the weights have come.

    Not by Adam, which hides the scale of gradients and makes a whole step of the rounding of one that should be zero.
    """
    _, one, begun = alone
    many = place / f"descent{processes}"
    script = place / "descent.py", place / "store", many, place / f"descent{processes}.toml"
    done = run(torchrun(processes, *script))
    assert done.returncode == 0, done.stderr
    way = (weights(one) - begun).norm()
    assert way > 1e-3 * begun.norm()
    assert (weights(many) - weights(one)).norm() < 1e-5 * way
    assert len(rows(one)) == 4
    for ours, theirs in zip(rows(many), rows(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert ours["global_step"] == theirs["global_step"]


@pytest.mark.slow
def test_so_do_they_by_adam_for_a_while(unbroken: Path, alone: tuple[Path, Path, torch.Tensor]) -> None:
    """Mean losses of the first 8 steps to 1e-5; the same parameters have been stepped as often."""
    assert rows(unbroken)[0] == pytest.approx(rows(alone[0])[0], rel=1e-5)
    states = [torch.load(r / "checkpoints" / "last.pt", weights_only=True) for r in (unbroken, alone[0])]
    for part in ("generator_optimizer", "adversary_optimizer"):
        ours, theirs = ({n: int(s["step"]) for n, s in state[part]["state"].items()} for state in states)
        assert ours == theirs
        assert len(set(ours.values())) > 1  # streams that did not run were left alone


@pytest.mark.slow
def test_what_they_share(place: Path) -> None:
    done = run(torchrun(2, place / "agreement.py", place))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((place / f"{rank}.json").read_text()) for rank in (0, 1))
    torch.manual_seed(0)
    drawn = torch.nn.ModuleList(torch.nn.Linear(2, 1) for _ in range(2))
    assert first["weights"] == second["weights"] == [p.tolist() for p in drawn.parameters()]
    assert first["gradients"] == second["gradients"] == [[[1.5, 1.5]], None, None, None]
    for said in (first, second):
        assert said["averages"]["rank"] == 0.5
        assert math.isnan(said["averages"]["only one is a number"])  # so all stop
        assert said["first"] == "rank 0"
        assert said["waited"]  # for the first, longer than for each other in a step
        assert "found another process gone" in said["lost"]
    assert first["failure"] == ["BadInput", None]
    assert second["failure"] == ["SystemExit", 4]


@pytest.mark.slow
def test_torchrun_restarts_from_the_checkpoint(place: Path, tmp_path: Path, unbroken: Path) -> None:
    again = tmp_path / "run"
    command = ["-m", "pmmsynth", "train", place / "store", "--out", again, "--config", place / "adam2.toml"]
    with subprocess.Popen(
        torchrun(2, *command, restarts=1), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as all_:
        wait_for(again / "checkpoints" / "previous.pt", all_)
        os.kill(ranks(all_.pid)[0], signal.SIGKILL)
        _, told = all_.communicate(timeout=240)
    assert all_.returncode == 0, told
    assert "found another process gone" in told
    assert torch.equal(weights(again), weights(unbroken))
    assert rows(again) == rows(unbroken)


@pytest.mark.slow
def test_all_end_together(place: Path, tmp_path: Path) -> None:
    """Killed (exit code 70), then, by the same command, told to stop (130)."""
    again = tmp_path / "run"
    command = [sys.executable, "-m", "pmmsynth", "train", str(place / "store"), "--out", str(again), "--devices", "2"]
    command += ["--config", str(place / "adam2.toml")]
    last, previous = again / "checkpoints" / "last.pt", again / "checkpoints" / "previous.pt"

    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as all_:
        wait_for(previous, all_)
        os.kill(ranks(all_.pid)[1], signal.SIGKILL)
        _, told = all_.communicate(timeout=240)
    assert all_.returncode == 70, told
    assert "pmmsynth: found process 1 ended by signal 9; expected 2 of them; the same command goes on" in told

    killed = torch.load(last, weights_only=True)["progress"]
    previous.unlink()
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as all_:
        wait_for(previous, all_)
        started = ranks(all_.pid)
        all_.send_signal(signal.SIGTERM)
        _, told = all_.communicate(timeout=240)
    assert all_.returncode == 130, told
    assert told.count("pmmsynth: stopped on request; all is saved") == 1
    assert not any(Path(f"/proc/{process}").exists() for process in started.values())
    stopped = torch.load(last, weights_only=True)["progress"]
    assert killed["step"] + killed["epoch"] * 8 < stopped["step"] + stopped["epoch"] * 8 < 16


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="needs the tables of Linux")
def test_other_machines_cannot_reach_those_of_devices(place: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    command = [sys.executable, "-m", "pmmsynth", "train", str(place / "store"), "--out", str(again), "--devices", "2"]
    command += ["--config", str(place / "adam2.toml")]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as all_:
        wait_for(again / "checkpoints" / "last.pt", all_)
        started = ranks(all_.pid).values()
        found = [listening([process]) for process in (all_.pid, *started)]
        variables = [Path(f"/proc/{process}/environ").read_bytes().split(b"\0") for process in started]
        all_.send_signal(signal.SIGTERM)
        _, told = all_.communicate(timeout=240)
    assert all_.returncode == 130, told
    assert found == [{"0100007F"}] * 3, "127.0.0.1: the store of the launcher, gloo of each process"
    for own in variables:  # where the name of the machine is not one of 127.0.0.1, gloo listens there without this
        assert {b"GLOO_SOCKET_IFNAME=lo", b"NCCL_SOCKET_IFNAME==lo"} <= set(own)


SLURM = {  # what the job script calls, for two machines that are both this one
    "srun": """#!/usr/bin/env bash
shift  # --kill-on-bad-exit=1
for machine in $(seq "$SLURM_NNODES"); do "$@" & echo $! >> "$PLACE/steps"; done
code=0
for step in $(cat "$PLACE/steps"); do wait "$step" || code=$?; done
exit "$code"
""",
    "scontrol": """#!/usr/bin/env bash
case "$1 $2" in
  "show hostnames") echo localhost; echo localhost ;;
  "requeue $SLURM_JOB_ID") touch "$PLACE/requeued" ;;
  *) exit 64 ;;
esac
""",
    "scancel": """#!/usr/bin/env bash
[ "$*" = "--signal=TERM $SLURM_JOB_ID" ] && kill -TERM $(cat "$PLACE/steps")
""",
}


@pytest.mark.slow
def test_the_slurm_script(place: Path, tmp_path: Path, unbroken: Path) -> None:
    """Before the time is up the job saves, stops and is queued again; then it ends as the unbroken run."""
    for name, script in SLURM.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("", 0))
        job = free.getsockname()[1] % 10_000
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": "a[1-2]", "SLURM_NNODES": "2", "PROCESSES": "1"}
    environment = {**ENVIRONMENT, **slurm, "PLACE": str(tmp_path), "PATH": path}
    again = tmp_path / "run"
    command = ["bash", str(SCRIPT), str(place / "store"), str(again), "--config", str(place / "adam2.toml")]

    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as job_:
        wait_for(again / "checkpoints" / "previous.pt", job_)
        job_.send_signal(signal.SIGUSR1)
        _, told = job_.communicate(timeout=240)
    assert job_.returncode != 0
    assert told.count("pmmsynth: stopped on request; all is saved") == 1, told
    assert (tmp_path / "requeued").is_file()
    (tmp_path / "requeued").unlink()
    (tmp_path / "steps").unlink()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "requeued").exists()
    assert torch.equal(weights(again), weights(unbroken))
    assert rows(again) == rows(unbroken)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a file is there, or the process that should write it is not."""
    for _ in range(4800):
        if path.is_file():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    pytest.fail(f"no {path}")
