"""From prepared cases to batches."""

from pmmsynth.data.batch import Batch
from pmmsynth.data.condition import draw_sources
from pmmsynth.data.scheduler import ModalityConsistentBatchScheduler
from pmmsynth.data.slices import SliceDataset

__all__ = ["Batch", "ModalityConsistentBatchScheduler", "SliceDataset", "draw_sources"]
