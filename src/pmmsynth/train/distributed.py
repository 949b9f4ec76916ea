"""Several processes as one: how many there are, what they average and decide together, what the first does alone.

torchrun or Slurm's srun start the processes and tell each its rank; `launch` is torchrun for one machine, on which
nothing then listens for others.
"""

import atexit
import logging
import os
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from pmmsynth.errors import PmmsynthError, UsageError

Result = TypeVar("Result")

LIMIT = timedelta(minutes=10)
"""How long a process waits for the others in the middle of a step; then it takes them for lost."""
PATIENCE = timedelta(days=30)
"""How long it waits for what the first does alone; validation of many cases may take hours."""
LEAVE_SECONDS = 600
"""How long `launch` waits after a signal for the step and the checkpoint."""
HERE = "127.0.0.1"
"""Where processes that `launch` started find each other."""


class LostProcess(PmmsynthError):
    """Another process of this training is gone, or out of reach (exit code 70)."""


class EqualProcesses(DDPStrategy):
    """Processes with equal weights, each stepping its own optimizers on gradients that `average_gradients` made equal.

    Nothing is wrapped, unlike in DDP (see docs/explanation/decisions.md).
    """

    def setup_environment(self) -> None:
        super().setup_environment()
        atexit.register(_disconnect)  # without it gloo may abort the process at its end
        on_cpu = distributed.get_backend() == "gloo"
        self._waiting = None if on_cpu else distributed.new_group(backend="gloo", timeout=LIMIT)

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        with torch.no_grad(), _others_present():
            _as_one(list(module.parameters()), lambda flat: distributed.broadcast(flat, src=0))
        return module

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        with _others_present("it did not come to where all wait"):
            # gloo's, also beside NCCL: the only collective that can wait longer than others of its group
            distributed.monitored_barrier(self._waiting, timeout=PATIENCE)


def open_fabric(accelerator: str, precision: str) -> Fabric:
    """This process's device, and the others if torchrun or srun started several: gloo on CPUs, NCCL on GPUs.

    Raises:
        UsageError: If there is no such device, or the processes do not find each other.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would print a banner
    processes, machines = launched()
    try:
        fabric = Fabric(
            accelerator=accelerator,
            strategy=EqualProcesses(timeout=LIMIT) if processes * machines > 1 else "auto",
            devices=processes,
            num_nodes=machines,
            precision=precision,  # type: ignore[arg-type]
        )
    except (RuntimeError, ValueError) as error:  # Lightning's misconfiguration errors are of these kinds
        raise UsageError(
            f"found {error}; expected a device for each process of a machine; choose another --accelerator"
        ) from error
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"found {error}; expected to reach the other processes; start all of them, in a network they share"
        ) from error
    return fabric


def launched() -> tuple[int, int]:
    """Processes per machine and machines, as torchrun or srun say; (1, 1) if neither started this process.

    Raises:
        UsageError: If torchrun would restart processes in a way that makes them wait for each other for ever.
    """
    if TorchElasticEnvironment.detect():
        restarts, same_store = os.environ["TORCHELASTIC_MAX_RESTARTS"], os.environ["TORCHELASTIC_USE_AGENT_STORE"]
        if restarts != "0" and same_store == "True":
            raise UsageError(
                "found --max-restarts with a store that outlives a restart, where new processes find the addresses of "
                "dead ones; expected a new store each time; start torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 "
                "and --standalone or --rdzv-backend c10d"
            )
        return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))  # srun sets it, sbatch alone does not
    if tasks > 1:
        machines = int(os.environ["SLURM_NNODES"])
        return tasks // machines, machines
    return 1, 1


def average_gradients(fabric: Fabric, module: nn.Module) -> None:
    """Replace every gradient by its mean over the processes; one that is absent stays absent.

    The same ones are absent everywhere, since which streams run follows from the step.
    """
    if fabric.world_size > 1:
        _as_one([p.grad for p in module.parameters() if p.grad is not None], _average)


def averages(fabric: Fabric, values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Means over the processes of single values, all at once; the same in every process."""
    flat = torch.stack([torch.as_tensor(v, dtype=torch.float32, device=fabric.device) for v in values.values()])
    if fabric.world_size > 1:
        _average(flat)
    return dict(zip(values, flat.tolist(), strict=True))


def by_first(fabric: Fabric, work: Callable[[], Result]) -> Result:
    """What `work` returns in the first process, where alone it is called; if it fails, all leave."""
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = work()
        except PmmsynthError as raised:
            error = raised
    fabric.barrier()
    result, error = fabric.broadcast((result, error))
    if error is not None:
        leave(fabric, error)
    return result  # type: ignore[return-value]


def leave(fabric: Fabric, error: PmmsynthError) -> NoReturn:
    """End all processes, each of which calls this: the first raises `error`, the others exit with its code."""
    if fabric.is_global_zero:
        raise error
    raise SystemExit(error.exit_code)


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `pmmsynth *arguments` in several processes of this machine; if one ends badly, all are ended.

    Returns:
        The exit code: that of the process that failed first, or 0; 130 after a signal to this process.

    Raises:
        LostProcess: If the first to fail was killed.
        UsageError: If processes are to be started by one that was itself started among several.
    """
    if launched() != (1, 1):
        raise UsageError(
            f"found --devices {processes} under torchrun or srun; expected to be started by hand; leave out --devices"
        )
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(LEAVE_SECONDS))
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={loopback}")  # this one, not all of names that begin so
    store = _store()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="static",
        rdzv_endpoint=f"{HERE}:{store.port}",
        rdzv_configs={"rank": 0},
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "pmmsynth", *arguments)
    except SignalException:
        return 130
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        raise LostProcess(
            f"found process {rank} ended by signal {-failure.exitcode}; expected {processes} of them; "
            "the same command goes on from the last checkpoint"
        ) from error
    return 0


def _store() -> TCPStore:
    """A store that only this machine can reach; one that torch opens listens on all networks.

    torch takes it for its own: there is one store (multi_tenant) for a port and process.
    """
    listener = socket.create_server((HERE, 0))
    port = listener.getsockname()[1]
    return TCPStore(
        HERE, port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=listener.detach()
    )


def _disconnect() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _average(flat: Tensor) -> None:
    """Mean over the processes, in place."""
    with _others_present():
        distributed.all_reduce(flat)
    flat.div_(distributed.get_world_size())


def _as_one(tensors: Sequence[Tensor], collective: Callable[[Tensor], object]) -> None:
    """Apply a collective to many tensors as if they were one, in place."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    collective(flat)
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def _others_present(reason: str = "") -> Iterator[None]:
    """Around a collective: what torch raises where another process is gone or silent becomes LostProcess."""
    try:
        yield
    except RuntimeError as error:
        reason = reason or re.sub(r"^\[\S+\] ", "", str(error).splitlines()[0]).split(". ")[0]
        raise LostProcess(
            f"found another process gone ({reason}); expected {distributed.get_world_size()} of them; "
            "see what it said; the same command goes on from the last checkpoint"
        ) from error
