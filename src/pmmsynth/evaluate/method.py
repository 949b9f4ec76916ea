"""What can be scored: a function from the given sequences of a case to the wanted one. It never sees the truth."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import StoredMethod, Synthesizer
from pmmsynth.learned import Learned
from pmmsynth.metrics import Mask
from pmmsynth.modality import Task
from pmmsynth.store import CaseRecord, Store

Stack = NDArray[np.float32]


class Synthesize(Protocol):
    """Make the target's slices from the sources' slices.

    Args:
        images: (source, slice, row, column), in the order of `sources`; scored slices only.
        sources: Names of the given modalities.
        target: Name of the wanted one.
        case: What is known of the case besides its voxels, above all its dataset.

    Returns:
        (slice, row, column); clipping and masking by the brain follow, for every method alike.
    """

    def __call__(self, images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack: ...


@dataclass(frozen=True)
class Method:
    """A method as it is scored.

    Attributes:
        synthesize: The function.
        digest: Identifies weights or fit; scores of another digest are never mixed with it.
        tasks: Per dataset those it can do, as text; None means all of all. Others leave their cell empty.
        learned: What it learned from, if a model did it before now; None: not known.
        parameters: Of all its models together.
        begin: Called once before its first case, in the process that gives out the cases.
        records: `metrics.jsonl` of their training, as far as they are there.
    """

    synthesize: Synthesize
    digest: str
    tasks: Mapping[str, Collection[str]] | None = None
    learned: Learned | None = field(default_factory=dict)
    parameters: int = 0
    begin: Callable[[], None] | None = None
    records: Sequence[Path] = ()

    @classmethod
    def of(cls, models: Sequence[Synthesizer], folders: Sequence[Path], store: Store) -> "Method":
        """One model of all datasets, or several of one each, from their run folders."""
        stored = StoredMethod.of(models, store)
        records = [folder / "metrics.jsonl" for folder in folders]
        return cls(stored, stored.digest, stored.tasks, stored.learned, stored.parameters, records=records)

    def can(self, task: Task, dataset: str) -> bool:
        """Whether it does a task in a dataset."""
        return self.tasks is None or str(task) in self.tasks.get(dataset, ())

    def run(self, images: Stack, modalities: tuple[str, ...], task: Task, case: CaseRecord, brain: Mask) -> Stack:
        """Synthesize from a copy of the sources alone; in [0, 1] and 0 outside the brain.

        Args:
            images: (modality, slice, row, column) of all the case has.
            modalities: What each row of `images` is.
            task: What to make from what.
            case: Goes to the method.
            brain: (slice, row, column).
        """
        given = images[[modalities.index(s) for s in task.sources]]
        made = np.asarray(self.synthesize(given, task.sources, task.target, case))
        if made.shape != brain.shape or not np.isfinite(made).all():
            raise ValueError(f"a method gave shape {made.shape} or non-finite values; expected {brain.shape}, finite")
        return np.where(brain, made.clip(0, 1), 0).astype(np.float32)


def methods_of(texts: Sequence[str], store: Store, device: str = "auto") -> dict[str, Method]:
    """Methods by name from "FOLDER", "NAME=FOLDER" or "NAME=FOLDER,FOLDER,...", models of one dataset each.

    A folder alone goes by the method in its card. The name of a folder that is there may hold "=" and ",".

    Raises:
        UsageError: If two have one name, or a name or folder is empty.
        BadInput: If a folder is not there or holds no model.
    """
    methods: dict[str, Method] = {}
    for text in texts:
        name, equals, places = text.partition("=")
        named = bool(equals) and not all(Path(part).is_dir() for part in _parts(text))
        parts = _parts(places if named else text)
        if (named and not name.strip()) or not all(part.strip() for part in parts):
            raise UsageError(f"found --model {text}; expected a name and folders; write --model NAME=FOLDER")
        folders = [Path(part) for part in parts]
        if absent := [part for part in parts if not Path(part).is_dir()]:
            said = f"name {name}, " if named else ""
            raise BadInput(
                f"no folder {absent[0]} for --model {text} ({said}folders {' and '.join(parts)})",
                "model or run folders",
                "correct it, or write --model NAME=FOLDER",
            )
        models = [Synthesizer.load(folder, device) for folder in folders]
        label = name if named else models[0].card.method
        if label in methods:
            raise UsageError(f"found two models named {label}; expected one name each; write --model NAME=FOLDER")
        methods[label] = Method.of(models, folders, store)
    return methods


def _parts(places: str) -> list[str]:
    """The one folder if there is one of this name, else what the commas part."""
    return [places] if Path(places).is_dir() else places.split(",")
