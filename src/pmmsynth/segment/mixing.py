"""Training cases with every sequence synthesized from the others, kept in the run folder of a segmenter."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pmmsynth.atomic import replacing
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.evaluate.method import Method
from pmmsynth.segment.score import inputs
from pmmsynth.segment.slices import brain_slices
from pmmsynth.store import PreparedCase


def synthesize_training(
    cases: Sequence[PreparedCase], modalities: tuple[str, ...], method: Method, folder: Path, reporter: Reporter
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
                    np.save(file, synthesized(case, modalities, method), allow_pickle=False)
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
