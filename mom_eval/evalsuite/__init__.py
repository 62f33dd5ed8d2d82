"""Runs models on tasks: what is asked (plan), who answers (answerers), what is kept (run)."""

import os

# tqdm reads this once, when torch imports it. It quiets bars that leave the choice to tqdm, as
# those of lm-eval, which would run through ours; downloads from the hub keep theirs.
os.environ.setdefault("TQDM_DISABLE", "1")
