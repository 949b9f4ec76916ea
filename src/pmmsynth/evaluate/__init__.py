"""Evidence: methods and trivial floors scored on the same slices, then tables and figures of the scores."""

from pmmsynth.evaluate.floors import FLOORS, Floors, fit_floors
from pmmsynth.evaluate.method import Method, Synthesize, methods_of
from pmmsynth.evaluate.report import Evaluation, evaluate
from pmmsynth.evaluate.score import Score, read_scores, score
from pmmsynth.evaluate.tasks import PAPER, Selection, tasks_for

__all__ = [
    "FLOORS",
    "PAPER",
    "Evaluation",
    "Floors",
    "Method",
    "Score",
    "Selection",
    "Synthesize",
    "evaluate",
    "fit_floors",
    "methods_of",
    "read_scores",
    "score",
    "tasks_for",
]
