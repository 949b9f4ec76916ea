"""Modality-Consistent Batch Scheduler (MCBS): every batch comes from one dataset and one availability."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class ModalityConsistentBatchScheduler(Sampler[list[int]]):
    """Groups samples, pads each group to whole batches with random duplicates from itself, shuffles all batches.

    The order is a function of (seed, epoch). With several ranks a step is one global batch of one group, of which
    each rank takes its own slice.

    Args:
        groups: For every sample its group, such as (dataset id, availability).
        batch_size: B, samples per rank.
        seed: Of the run.
        rank: Of this process.
        world_size: Number of processes.
    """

    def __init__(
        self, groups: Sequence[Hashable], *, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        members: dict[Hashable, list[int]] = defaultdict(list)
        for index, group in enumerate(groups):
            members[group].append(index)
        self.groups = list(members.values())
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.epoch = self.first = 0

    def start(self, epoch: int, step: int = 0) -> None:
        """Choose the epoch of the next iteration, and the step within it to begin at (when resuming)."""
        self.epoch, self.first = epoch, step

    @property
    def steps(self) -> int:
        """Steps of a whole epoch."""
        size = self.batch_size * self.world_size
        return sum(-(-len(group) // size) for group in self.groups)

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[int]]:
        mine = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for batch in self._batches(self.epoch)[self.first :]:
            yield batch[mine]

    def batch(self, epoch: int, step: int) -> list[int]:
        """The samples of all ranks in one step."""
        return self._batches(epoch)[step]

    def _batches(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        size = self.batch_size * self.world_size
        batches: list[list[int]] = []
        for group in self.groups:
            padding = rng.choice(group, size=-len(group) % size).tolist()
            members = rng.permutation(group + padding).tolist()
            batches += [members[i : i + size] for i in range(0, len(members), size)]
        return [batches[i] for i in rng.permutation(len(batches)).tolist()]
