"""Checkpoints: all that resuming needs, written complete or not at all, read without running any pickle code.

The one before the newest is kept: if the newest turns out damaged, training goes on from there.
"""

import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from pmmsynth.atomic import replacing
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.nets import Discriminators, PMMSynth

LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"


@dataclass
class Progress:
    """Where training stands: the next step to do is `step` of `epoch`.

    Attributes:
        epoch: Complete epochs.
        step: Complete steps of the current epoch.
        best: Best validation PSNR so far, in dB.
        window: Sums of the losses since the last line of the record.
    """

    epoch: int = 0
    step: int = 0
    best: float = float("-inf")
    window: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainState:
    """The objects whose state a run consists of. All randomness is a function of (seed, epoch, step): none is kept."""

    generator: PMMSynth
    discriminators: Discriminators
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    progress: Progress

    def _parts(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "progress"}

    def save(self, path: Path) -> None:
        """Write everything to `path`; what was there becomes PREVIOUS beside it."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        with replacing(path) as temporary:
            torch.save({**state, "progress": vars(self.progress)}, temporary)
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
        """Take over what `save` wrote. Raises BadInput if the file is damaged or of another network."""
        try:
            with zipfile.ZipFile(path) as archive:
                if (record := archive.testzip()) is not None:  # torch.load does not compare checksums
                    raise ValueError(f"wrong checksum of {record}")
            state = torch.load(path, map_location="cpu", weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            for name, value in state["progress"].items():
                setattr(self.progress, name, value)
        except (
            RuntimeError,
            KeyError,
            ValueError,
            EOFError,
            pickle.UnpicklingError,
            zipfile.BadZipFile,
            OSError,
        ) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise BadInput(
                f"{path}: {reason}", "a checkpoint of this run", "remove the file to begin again, or restore a copy"
            ) from error
