"""Training: configuration, the loop, its checkpoints and its record."""

from pmmsynth.train.config import PRESETS, TrainConfig, paper, small, tiny
from pmmsynth.train.distributed import LostProcess, launch
from pmmsynth.train.loop import train
from pmmsynth.train.run import Stopped, describe

__all__ = [
    "PRESETS",
    "LostProcess",
    "Stopped",
    "TrainConfig",
    "describe",
    "launch",
    "paper",
    "small",
    "tiny",
    "train",
]
