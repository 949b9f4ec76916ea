"""Four datasets with known truth, made from packages alone: anatomy -> pathology -> contrasts -> folders."""

from pmmsynth.simulate.simulate import simulate

__all__ = ["simulate"]
