"""Four datasets with known truth, made from packages alone: anatomy -> pathology -> contrasts -> folders."""

from pmmsynth.simulate.pipeline import simulate

__all__ = ["simulate"]
