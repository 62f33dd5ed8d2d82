"""One HTML page of runs: leaderboards, plots, a part a model, and single questions to read."""

from mom_eval.results.report.text import NO_TEXTS, Text, Texts
from mom_eval.results.report.write import write

__all__ = ["NO_TEXTS", "Text", "Texts", "write"]
