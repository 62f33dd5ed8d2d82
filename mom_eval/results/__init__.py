"""From the lines of run folders to tables, plots and intervals. Nothing here runs a model."""

from typing import Final

TASK_NAMES: Final[dict[str, str]] = {
    "fda": "FDA",
    "swde": "SWDE",
    "squad": "SQuAD",
    "nq": "NQ",
    "triviaqa": "TriviaQA",
    "drop": "DROP",
}
"""The recall tasks in the order of every table, and the names readers know them by."""

AVERAGE_QUESTIONS: Final = 40
"""A task with fewer questions than this is shown but takes no part in an average."""
