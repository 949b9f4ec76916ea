"""Places with scans -> one table of what is there, what is missing and what is wrong, before a long run."""

from pmmsynth.check.survey import check

__all__ = ["check"]
