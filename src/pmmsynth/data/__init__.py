"""From prepared cases to batches."""

from pmmsynth.data.batch import Batch
from pmmsynth.data.condition import Condition, draw_pair, draw_sources, step_random
from pmmsynth.data.scheduler import ModalityConsistentBatchScheduler
from pmmsynth.data.slices import SliceDataset

__all__ = [
    "Batch",
    "Condition",
    "ModalityConsistentBatchScheduler",
    "SliceDataset",
    "draw_pair",
    "draw_sources",
    "step_random",
]
