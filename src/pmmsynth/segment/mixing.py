"""Training cases with every sequence synthesized from the others, kept in the run folder of a segmenter."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pmmsynth.atomic import replacing
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.segment.score import check_task, inputs
from pmmsynth.segment.slices import brain_slices
from pmmsynth.store import Fold, PreparedCase, Store
from pmmsynth.train.run import data_digest


@dataclass(frozen=True)
class Synthesis:
    """What makes the sequences of training cases: one model, or for each case the one that did not learn from it.

    A model makes the cases it learned from better than new ones. A segmenter that is shown those trusts synthesized
    sequences more than it should.

    Attributes:
        methods: One, or one per fold.
        held_out: For each the subjects it did not learn from.
    """

    methods: tuple[Method, ...]
    held_out: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, folders: Sequence[Path], store: Store) -> "Synthesis":
        """From model or run folders.

        Raises:
            BadInput: If a folder holds no model.
            UsageError: If several are not those of all folds of this store.
        """
        models = [Synthesizer.load(folder) for folder in folders]
        methods = tuple(Method.of([model], [folder], store) for model, folder in zip(models, folders, strict=True))
        if len(models) == 1:
            return cls(methods, (frozenset(),))
        folds = [str(model.card.training.get("fold", "none")) for model in models]
        wanted = [f"{number}/{len(models)}" for number in range(len(models))]
        if sorted(folds) != sorted(wanted):
            raise UsageError(
                f"found {len(models)} models of folds {', '.join(folds)}; expected {', '.join(wanted)}, or one "
                "model; train the others with --fold"
            )
        parts = [
            Store(store.root, tuple(d.name for d in model.card.datasets), Fold.parse(fold))
            for model, fold in zip(models, folds, strict=True)
        ]
        for model, part in zip(models, parts, strict=True):
            if model.card.training.get("data_sha256") != data_digest(part):
                raise UsageError(
                    f"found a model of fold {part.fold} of other cases; expected those of {store.root}; train it again"
                )
        return cls(methods, tuple(part.held_out for part in parts))

    @property
    def digest(self) -> str:
        """Of all models."""
        digests = [method.digest for method in self.methods]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()

    def method(self, case: PreparedCase) -> Method:
        """The model that did not learn from a case; the first if all did, as from a dataset's only patient."""
        fit = (m for m, held in zip(self.methods, self.held_out, strict=True) if case.record.subject in held)
        return next(fit, self.methods[0])

    def check(self, cases: Sequence[PreparedCase], modalities: tuple[str, ...]) -> None:
        """Raises UsageError unless every model makes each sequence from all others."""
        for method in self.methods:
            for name in modalities:
                check_task(cases, modalities, name, method)


def synthesize_training(
    cases: Sequence[PreparedCase], modalities: tuple[str, ...], synthesis: Synthesis, folder: Path, reporter: Reporter
) -> list[NDArray[np.float16]]:
    """Write what is missing of `folder/<dataset>/<case>.npy` and open all.

    Returns:
        Per case (modality, slice, row, column) in [0, 1]; 0 outside the brain and in slices without brain.

    Raises:
        BadInput: If a file that is there is damaged.
    """
    found = []
    with reporter.progress("synthesizing training cases", len(cases)) as advance:
        for case in cases:
            path = folder / case.record.dataset / f"{case.record.case}.npy"
            if not path.is_file():
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, synthesized(case, modalities, synthesis.method(case)), allow_pickle=False)
            found.append(_open(path, (len(modalities), *case.brain().shape)))
            advance()
    return found


def synthesized(case: PreparedCase, modalities: tuple[str, ...], method: Method) -> NDArray[np.float16]:
    """Every sequence of a case from all others, as a segmenter is given it: (modality, slice, row, column)."""
    made = np.zeros((len(modalities), *case.brain().shape), np.float16)
    for channel, name in enumerate(modalities):
        made[channel, brain_slices(case)] = inputs(case, modalities, name, method)[:, channel].numpy()
    return made


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    try:
        array: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
        reason = "" if (array.dtype, array.shape) == (np.dtype(np.float16), shape) else f"{array.dtype} {array.shape}"
    except (ValueError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
    if reason:
        raise BadInput(f"{path}: {reason}", f"float16 {shape}", "remove it; the same command makes it again")
    return array
