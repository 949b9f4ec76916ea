"""The networks of PMM-Synth: tensors in, tensors out; no files, no configuration."""

from pmmsynth.nets.discriminator import Discriminators
from pmmsynth.nets.generator import Architecture, Generator
from pmmsynth.nets.pmm import PMMSynth, PMMSynthArchitecture

__all__ = ["Architecture", "Discriminators", "Generator", "PMMSynth", "PMMSynthArchitecture"]
