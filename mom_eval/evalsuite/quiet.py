"""What libraries say of themselves, kept off the screen."""

import logging
import os


def quiet_libraries() -> None:
    """Keep libraries' notes off the screen: ours says what a user needs."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # transformers sets its logger's level anew when it is first imported.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("lm_eval", "datasets", "transformers", "huggingface_hub", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
