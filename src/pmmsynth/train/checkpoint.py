"""Checkpoints: all that resuming needs, written complete or not at all, read without running any pickle code.

The one before the newest is kept: if the newest turns out damaged, training goes on from there.
"""

import io
import pickletools
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, TypeAdapter, ValidationError
from torch import nn
from torch.optim import Optimizer

from pmmsynth.atomic import replacing
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.manifest import first_message
from pmmsynth.model import first_difference
from pmmsynth.nets import Generator

LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"
NAMED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage", "torch LongStorage"}
"""All that tables of float32 tensors and of counts name in their pickle."""


@dataclass
class Progress:
    """Where training stands: the next step to do is `step` of `epoch`.

    Attributes:
        epoch: Complete epochs.
        step: Complete steps of the current epoch.
        best: Best validation PSNR so far, in dB.
        window: Sums of the losses since the last line of the record.
    """

    epoch: NonNegativeInt = 0
    step: NonNegativeInt = 0
    best: float = float("-inf")
    window: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainState:
    """The objects whose state a run consists of. All randomness is a function of (seed, epoch, step): none is kept."""

    generator: Generator
    adversary: nn.Module | None
    generator_optimizer: Optimizer
    adversary_optimizer: Optimizer | None
    progress: Progress

    def _parts(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if v is not None and k != "progress"}

    def save(self, path: Path) -> None:
        """Write everything to `path`; what was there becomes PREVIOUS beside it."""
        state = {name: _learned(part) for name, part in self._parts().items()}
        buffer = io.BytesIO()  # a full disk is an OSError: PyTorch's own writer hides it
        torch.save({**state, "progress": vars(self.progress)}, buffer)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
            if path.is_file():
                path.replace(path.with_name(PREVIOUS))

    def resume(self, folder: Path, reporter: Reporter) -> Path | None:
        """Load the newest sound checkpoint of a folder and say which; None if there is none at all.

        A damaged LAST is set aside as DAMAGED and PREVIOUS is taken. A kill between the two renames of `save` leaves
        PREVIOUS alone, which is as good.

        Raises:
            BadInput: If no file that is there is sound.
        """
        last, previous = folder / LAST, folder / PREVIOUS
        if last.is_file():
            try:
                self.load(last)
                return last
            except BadInput as error:
                if not previous.is_file():
                    raise
                reporter.warn(f"found {error.found}; going on from {previous}; the damaged file is kept as {DAMAGED}")
        if not previous.is_file():
            return None
        self.load(previous)
        if last.is_file():  # only now: it must not become PREVIOUS, and is the only trace where both are damaged
            last.replace(folder / DAMAGED)
        return previous

    def load(self, path: Path) -> None:
        """Take over what `save` wrote, once all of it is known to fit; settings of the optimizers stay as they are.

        Raises:
            BadInput: If the file is damaged, of another network, or holds anything but finite numbers.
        """
        try:
            state = _read(path)
            progress = TypeAdapter(Progress).validate_python(state["progress"])
            for name, part in self._parts().items():
                wrong = _first_misfit(part, state[name])
                if wrong:
                    raise ValueError(f"{name}: {wrong}")
            for name, part in self._parts().items():
                groups = {} if isinstance(part, nn.Module) else {"param_groups": part.state_dict()["param_groups"]}
                part.load_state_dict({**state[name], **groups})
            vars(self.progress).update(vars(progress))
        except Exception as error:  # a file from elsewhere may make its readers raise anything
            raise BadInput(
                f"{path}: {_reason(error)}",
                "a checkpoint of this run",
                "remove the file to begin again, or restore a copy",
            ) from error


def _learned(part: nn.Module | Optimizer) -> dict[str, Any]:
    """The state of a network, or of an optimizer without its settings, which follow from configuration and step."""
    state = part.state_dict()
    return state if isinstance(part, nn.Module) else {"state": state["state"]}


def _read(path: Path) -> dict[str, Any]:
    """The tables of a checkpoint. What PyTorch does not look at is looked at first: checksums, sizes, names."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        held = sum(entry.file_size for entry in entries)
        if held > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError(f"unpacks to {held} bytes, more than there are")
        if (record := archive.testzip()) is not None:
            raise ValueError(f"wrong checksum of {record}")
        for entry in entries:
            if entry.filename.lower().endswith(".pkl"):
                operations = pickletools.genops(archive.read(entry))
                named = {arg for kind, arg, _ in operations if kind.name in ("GLOBAL", "STACK_GLOBAL", "INST")}
                if named - NAMED:
                    raise ValueError(f"its pickle names {', '.join(map(str, named - NAMED))}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return f"progress.{first_message(error)}"
    if isinstance(error, KeyError):
        return f"no {error}"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _first_misfit(part: nn.Module | Optimizer, state: dict[str, Any]) -> str | None:
    """Why a state is not one of this network, or not one of Adam on its parameters."""
    if isinstance(part, nn.Module):
        return first_difference(state, part.state_dict())
    found = {f"{number}.{name}": tensor for number, kept in state["state"].items() for name, tensor in kept.items()}
    parameters = [parameter for group in part.param_groups for parameter in group["params"]]
    wanted = {
        f"{number}.{name}": like
        for number, parameter in enumerate(parameters)
        for name, like in (("step", torch.zeros(())), ("exp_avg", parameter), ("exp_avg_sq", parameter))
        if number in state["state"]  # there is none yet for parameters no step has reached
    }
    return first_difference(found, wanted)
