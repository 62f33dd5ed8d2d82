"""The models' side of lm-eval: what it sees of a run, and models in the forms it takes.

Importing this registers our own models with lm-eval as `mom-eval`;
`python -m mom_eval.evalsuite.lm_eval_model` is lm-eval's command line with them.
"""

from mom_eval.evalsuite.lm_eval_model.hugging_face import HFAnswerer, load_hflm, wrap_model
from mom_eval.evalsuite.lm_eval_model.own import OwnLM
from mom_eval.evalsuite.lm_eval_model.recording import ask_through_lm_eval, run_lm_eval_tasks

__all__ = [
    "HFAnswerer",
    "OwnLM",
    "ask_through_lm_eval",
    "load_hflm",
    "run_lm_eval_tasks",
    "wrap_model",
]
