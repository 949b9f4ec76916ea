"""What is segmented: the nested regions of a glioma, or a lesion of one class."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pmmsynth.errors import BadInput
from pmmsynth.store import LABELS, CaseRecord, PreparedCase

Target = Literal["glioma", "lesion"]

NECROSIS, OEDEMA, ENHANCING = "necrotic core", "oedema", "enhancing"
"""Tissues by the names that `lesion_labels` gives to a mask's values: 1, 2, 4 in BraTS to 2021; 1, 2, 3 in 2023."""
TISSUES: dict[str, tuple[str, ...]] = {
    "whole tumour": (NECROSIS, OEDEMA, ENHANCING),
    "tumour core": (NECROSIS, ENHANCING),
    "enhancing tumour": (ENHANCING,),
}
"""BraTS: each region and the tissues it consists of."""
REGIONS: dict[Target, tuple[str, ...]] = {"glioma": tuple(TISSUES), "lesion": ("lesion",)}
"""The channels of a segmenter, in order."""


def is_marked(record: CaseRecord, target: Target) -> bool:
    """Whether the truth is known: a lesion mask, which for gliomas tells the three tissues apart."""
    if target == "lesion":
        return record.has_lesion
    return set(record.lesion_labels.values()) >= {NECROSIS, OEDEMA, ENHANCING}


def regions_of(case: PreparedCase, target: Target, positions: slice | Sequence[int] = slice(None)) -> NDArray[np.bool_]:
    """The true regions of a marked case inside its brain: (region, slice, row, column), in the order of REGIONS.

    Args:
        case: One that `is_marked`.
        target: What is segmented.
        positions: Which slices.

    Raises:
        BadInput: If the mask has values that `lesion_labels` does not explain.
    """
    brain = case.brain()[positions]
    if target == "lesion":
        return case.lesion()[None, positions] & brain
    labels, meaning = case.labels()[positions], case.record.lesion_labels
    if unknown := set(np.unique(labels).tolist()) - {0, *meaning}:
        raise BadInput(
            f"{case.folder / LABELS}: value {min(unknown)}",
            ", ".join(f"{value} ({name})" for value, name in sorted(meaning.items())),
            "correct the mask, or say in the cohort file what its values mean (lesion_labels)",
        )
    return np.stack([np.isin(labels, values_of(meaning, tissues)) for tissues in TISSUES.values()]) & brain


def values_of(meaning: Mapping[int, str], tissues: Iterable[str]) -> list[int]:
    """The values of a mask that stand for these tissues."""
    wanted = set(tissues)
    return sorted(value for value, name in meaning.items() if name in wanted)
