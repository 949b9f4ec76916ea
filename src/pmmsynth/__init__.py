"""Personalized multi-modal MRI synthesis across heterogeneous datasets (PMM-Synth).

The names most people need; each is imported from its stage when first used, so that `import pmmsynth` stays quick.
The verbs of the command line are functions of their stages: `pmmsynth.prepare.prepare`, `pmmsynth.train.train`, ...

Example:
    from pmmsynth import Synthesizer
    made = Synthesizer.load("model").synthesize(t1="t1.nii.gz", t2="t2.nii.gz", dataset="BraTS")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmmsynth.case import Case
    from pmmsynth.infer import Synthesizer
    from pmmsynth.manifest import Manifest
    from pmmsynth.modality import Task
    from pmmsynth.nets import PMMSynth
    from pmmsynth.store import Store
    from pmmsynth.volume import Volume

__all__ = ["Case", "Manifest", "PMMSynth", "Store", "Synthesizer", "Task", "Volume"]

_HOME = {
    "Case": "case",
    "Manifest": "manifest",
    "PMMSynth": "nets",
    "Store": "store",
    "Synthesizer": "infer",
    "Task": "modality",
    "Volume": "volume",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pmmsynth' has no attribute {name!r}")
    return getattr(import_module(f"pmmsynth.{_HOME[name]}"), name)
