"""Raw cases -> aligned, brain-only, scaled cases in a store; and the way back to the native grid."""

from pmmsynth.prepare.crop import to_native
from pmmsynth.prepare.intensity import to_native_values, to_unit
from pmmsynth.prepare.pipeline import prepare
from pmmsynth.prepare.volumes import Prepared, prepare_volumes

__all__ = ["Prepared", "prepare", "prepare_volumes", "to_native", "to_native_values", "to_unit"]
