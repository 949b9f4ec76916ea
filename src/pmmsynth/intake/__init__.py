"""Folders as downloaded -> Manifest of raw cases; DICOM -> a BIDS tree."""

from pmmsynth.intake.cohort import CohortFile, DatasetTable, read_cohorts
from pmmsynth.intake.convert import convert
from pmmsynth.intake.places import UNKNOWN, find_cases, form_of, overlooked

__all__ = ["UNKNOWN", "CohortFile", "DatasetTable", "convert", "find_cases", "form_of", "overlooked", "read_cohorts"]
