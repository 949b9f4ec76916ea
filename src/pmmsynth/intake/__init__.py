"""Folders as downloaded -> Manifest of raw cases."""

from pmmsynth.intake.cohort import CohortFile, DatasetTable, read_cohorts

__all__ = ["CohortFile", "DatasetTable", "read_cohorts"]
