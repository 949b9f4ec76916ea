"""Every method of the comparison by name: the one list."""

from collections.abc import Callable

from torch import nn

from pmmsynth.nets import PMMSynth

METHODS: dict[str, Callable[..., nn.Module]] = {"PMM-Synth": PMMSynth}
"""Generators, called with `modalities` and the fields of `Architecture`; their `forward` is that of `PMMSynth`."""
