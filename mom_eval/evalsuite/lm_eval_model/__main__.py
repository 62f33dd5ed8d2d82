r"""lm-eval's command line, with our own models among those it knows.

Use it as lm-eval's own:

    python -m mom_eval.evalsuite.lm_eval_model run --model mom-eval \
        --model_args pretrained=FOLDER --include_path "$(mom-eval tasks --path)" --tasks mom_recall
"""

import sys

from lm_eval.__main__ import cli_evaluate

from mom_eval.errors import MomEvalError

try:
    cli_evaluate()
except MomEvalError as error:
    sys.exit(f"mom-eval: {error}")
