"""Training cases with every sequence synthesized from the others, kept in the run folder of a segmenter."""

import hashlib
from collections import defaultdict
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
from pmmsynth.learned import knows
from pmmsynth.segment.score import check_task, inputs
from pmmsynth.segment.slices import brain_slices
from pmmsynth.store import CaseRecord, PreparedCase, Store


@dataclass(frozen=True)
class Synthesis:
    """What makes the sequences of training cases: one model, or for each case one that did not learn from it.

    A model makes the cases it learned from better than new ones. A segmenter that is shown those trusts synthesized
    sequences more than it should.

    Attributes:
        methods: One, or several in an order that does not depend on how they were given.
    """

    methods: tuple[Method, ...]

    @classmethod
    def of(cls, folders: Sequence[Path], store: Store) -> "Synthesis":
        """From model or run folders.

        Raises:
            BadInput: If a folder holds no model.
            UsageError: If there are several, and one does not say what it learned from, or each knows a case.
        """
        methods = [Method.of([Synthesizer.load(folder)], [folder], store) for folder in folders]
        found = cls(tuple(sorted(methods, key=lambda method: method.digest)))
        if len(methods) > 1:
            for folder, method in zip(folders, methods, strict=True):
                if method.learned is None:
                    raise UsageError(
                        f"found {folder} without word of what it learned from; expected that of each of several "
                        "models; train it anew, into another folder, or give one model"
                    )
            found._check_strangers([case.record for case in store.cases("train")])
        return found

    def _check_strangers(self, records: Sequence[CaseRecord]) -> None:
        """Raises UsageError for a patient all models know; a dataset's only one is in the training of each fold."""
        patients: dict[str, set[str]] = defaultdict(set)
        for record in records:
            patients[record.dataset].add(record.subject)
        lone = {subject for subjects in patients.values() if len(subjects) == 1 for subject in subjects}
        for record in records:
            if record.subject not in lone and not self._strangers(record):
                raise UsageError(
                    f"found {len(self.methods)} models that all learned from {record.dataset}/{record.case}; expected "
                    "for each case one that did not; give those of all folds of train --fold, or one model"
                )

    def _strangers(self, record: CaseRecord) -> list[Method]:
        return [m for m in self.methods if not knows(m.learned or {}, record, ["train", "val"])]

    @property
    def digest(self) -> str:
        """Of all models."""
        digests = [method.digest for method in self.methods]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def method(self, case: PreparedCase) -> Method:
        """The first model that did not learn from a case; the first of all if each did."""
        return (self._strangers(case.record) or self.methods)[0]

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
        BadInput: If a file that is there is damaged, or an array of a case.
    """
    found = []
    with reporter.progress("synthesizing training cases", len(cases)) as advance:
        for case in cases:
            path = folder / case.record.dataset / f"{case.record.case}.npy"
            if not path.is_file():
                case.verify()
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
