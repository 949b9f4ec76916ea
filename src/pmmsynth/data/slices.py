"""Axial slices of prepared cases, read from memory-mapped files when asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from pmmsynth.data.batch import Batch
from pmmsynth.store import PreparedCase


class SliceDataset(Dataset[Batch]):
    """All slices with enough brain of some cases; indexed by a list of samples it returns their Batch.

    Memory does not grow with the number of cases: what is kept is one pair of integers per slice.

    Args:
        cases: Prepared cases.
        modalities: The model's modality list; its order is the order of the channels.
        dataset_ids: Dataset name to id n.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], *, modalities: Sequence[str], dataset_ids: dict[str, int]
    ) -> None:
        self.cases = list(cases)
        self.modalities = tuple(modalities)
        self.dataset_ids = dataset_ids
        self.index = [(c, int(s)) for c, case in enumerate(self.cases) for s in case.scored_slices()]
        self._available = [tuple(m in case.record.modalities for m in self.modalities) for case in self.cases]

    def __len__(self) -> int:
        return len(self.index)

    def groups(self) -> list[tuple[int, tuple[bool, ...]]]:
        """For every sample (n, M): what the scheduler keeps together."""
        keys = [
            (self.dataset_ids[case.record.dataset], available)
            for case, available in zip(self.cases, self._available, strict=True)
        ]
        return [keys[c] for c, _ in self.index]

    def describe(self, samples: Sequence[int]) -> str:
        """Where samples come from, as "BraTS/case-01 slice 40, BraTS/case-07 slice 52"."""
        places = [(self.cases[case].record, position) for case, position in (self.index[i] for i in samples)]
        return ", ".join(f"{record.dataset}/{record.case} slice {position}" for record, position in places)

    def __getitem__(self, samples: Sequence[int]) -> Batch:
        pairs = [self.index[i] for i in samples]
        first = self.cases[pairs[0][0]].record
        available = torch.tensor(self._available[pairs[0][0]])
        stacks = np.stack([self._stack(case, position) for case, position in pairs])
        return Batch(torch.from_numpy(stacks), available, torch.tensor(self.dataset_ids[first.dataset]))

    def _stack(self, case: int, position: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
        rows = self.cases[case].record.modalities
        images = self.cases[case].slices([position])[:, 0]
        stack = np.zeros((len(self.modalities), *images.shape[1:]), np.float32)
        for channel, modality in enumerate(self.modalities):
            if modality in rows:
                stack[channel] = images[rows.index(modality)]
        return stack
