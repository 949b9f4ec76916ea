"""Which synthesis tasks are scored: the paper's, the full grid, or a list."""

from collections.abc import Sequence
from typing import Literal

from pmmsynth.modality import Task, all_tasks

Selection = Literal["paper", "grid"] | Sequence[str]

ONE_TO_ONE = ("T1->T1C", "T2->FLAIR", "FLAIR->DWI")
MANY_TO_ONE = ("T1+T2->FLAIR", "T1+T2+FLAIR->T1C", "T1+T2+FLAIR->ADC", "FLAIR+DWI->ADC")
PAPER = tuple(Task.parse(text) for text in ONE_TO_ONE + MANY_TO_ONE)
"""The tasks of Tables 1 and 2; what a dataset gets of them follows from its sequences.

Glioma with four sequences (BraTS): T1->T1C, T2->FLAIR, T1+T2->FLAIR, T1+T2+FLAIR->T1C. Stroke (ISLES): FLAIR->DWI,
FLAIR+DWI->ADC. Inflammation (TTI): T2->FLAIR, T1+T2->FLAIR, T1+T2+FLAIR->ADC. Six sequences (TTG): all seven. Our
sources name FLAIR->DWI and FLAIR+DWI->ADC for ISLES and T1+T2+FLAIR->ADC for TTI; the rest is the usual choice.
"""


def tasks_for(modalities: Sequence[str], selection: Selection = "paper") -> list[Task]:
    """The selected tasks that these modalities allow (sources given, target there to compare with).

    Args:
        modalities: Of a case or a dataset.
        selection: "paper", "grid" (every source set with every target outside it), or tasks as text.

    Example:
        >>> [str(t) for t in tasks_for(("FLAIR", "DWI", "ADC"))]
        ['FLAIR->DWI', 'FLAIR+DWI->ADC']
    """
    if selection == "grid":
        return all_tasks(modalities)
    wanted = PAPER if selection == "paper" else [Task.parse(t) for t in _listed(selection)]
    return [t for t in dict.fromkeys(wanted) if {*t.sources, t.target} <= set(modalities)]


def _listed(selection: Selection) -> Sequence[str]:
    return [selection] if isinstance(selection, str) else selection
