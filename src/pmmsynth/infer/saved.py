"""A model by its place: small enough to be sent to other processes, each of which loads it once."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pmmsynth.errors import BadInput
from pmmsynth.infer.backends import Backend, Precision
from pmmsynth.infer.synthesizer import Synthesizer
from pmmsynth.model import read_card


@dataclass(frozen=True)
class SavedModel:
    """A model folder, as it was when it was found, and how to use it.

    Attributes:
        folder: Absolute; other machines must see it under the same path.
        device: As for `Synthesizer.load`, and of the process that loads it.
        digest: Of the model that was found (`ModelCard.digest`).
        backend: As for `Synthesizer.load`.
        precision: The same.
        memory: The same, for each process.
    """

    folder: Path
    device: str
    digest: str
    backend: Backend = "torch"
    precision: Precision = "auto"
    memory: float | None = None

    @classmethod
    def find(
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        backend: Backend = "torch",
        precision: Precision = "auto",
        memory: float | None = None,
    ) -> "SavedModel":
        """The model that is in a model, run or exported folder now. Raises BadInput if there is none."""
        place = Path(folder).absolute()
        return cls(place, device, read_card(place).digest, backend, precision, memory)

    def load(self) -> Synthesizer:
        """The model; a process reads it at the first call and keeps it.

        Raises:
            BadInput: If it is damaged, or the folder holds another model by now.
            UsageError: If the device is not on this machine.
        """
        return _load(self)


@lru_cache(maxsize=1)
def _load(saved: SavedModel) -> Synthesizer:
    model = Synthesizer.load(
        saved.folder,
        saved.device,
        backend=saved.backend,
        precision=saved.precision,
        memory=saved.memory,
    )
    if model.card.digest != saved.digest:
        raise BadInput(f"another model in {saved.folder} than before", "it to stay", "run the command again")
    return model
