"""Documents -> prompts -> scores. Knows no model, no run; `lm_eval_tasks` alone knows lm-eval."""

from pathlib import Path

TASKS = {
    "fda": "FDA",
    "swde": "SWDE",
    "squad": "SQuAD",
    "nq": "NQ",
    "triviaqa": "TriviaQA",
    "drop": "DROP",
}
"""The six recall tasks in the papers' order: name on the command line -> name in tables."""

LM_EVAL_PREFIX = "mom_"
"""lm-eval knows our `fda` as `mom_fda`: its own registry has another task of the bare name."""


def lm_eval_path() -> Path:
    """The folder for `lm_eval --include_path`: a YAML file a task and one for the group."""
    return Path(__file__).parent / "lm_eval"
