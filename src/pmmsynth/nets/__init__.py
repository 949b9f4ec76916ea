"""The networks of PMM-Synth: tensors in, tensors out; no files, no configuration."""

from pmmsynth.nets.discriminator import Discriminators
from pmmsynth.nets.pmm import PMMSynth

__all__ = ["Discriminators", "PMMSynth"]
