"""From the volumes a patient has to those the patient lacks, on the native grid."""

from pmmsynth.infer.cases import Written, case_of_inputs, synthesize_cases
from pmmsynth.infer.export import export
from pmmsynth.infer.saved import SavedModel
from pmmsynth.infer.stored import StoredMethod
from pmmsynth.infer.synthesizer import Synthesis, Synthesizer

__all__ = [
    "SavedModel",
    "StoredMethod",
    "Synthesis",
    "Synthesizer",
    "Written",
    "case_of_inputs",
    "export",
    "synthesize_cases",
]
