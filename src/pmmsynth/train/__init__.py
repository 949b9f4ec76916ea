"""Training: configuration, the loop, its checkpoints and its record."""

from pmmsynth.train.config import PRESETS, TrainConfig, paper, small, tiny
from pmmsynth.train.loop import train
from pmmsynth.train.run import Stopped, describe

__all__ = ["PRESETS", "Stopped", "TrainConfig", "describe", "paper", "small", "tiny", "train"]
