"""What the YAML files beside this one name; lm-eval loads it by path, hence the absolute import."""

import sys
from typing import Any

from mom_eval.errors import MomEvalError
from mom_eval.tasks.lm_eval_tasks import Recall as _Recall


class Recall(_Recall):
    """The task as plain lm-eval builds it: what a user can mend ends it with one sentence."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """`config` holds the task's name and the metadata of the command line."""
        try:
            super().__init__(config=config)
        except MomEvalError as error:
            sys.exit(f"mom-eval: {error}")
