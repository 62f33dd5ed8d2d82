"""Training our models: a TOML file in, checkpoints, curves and a plot out."""

from mom_eval.evalsuite.train.config import Config, read
from mom_eval.evalsuite.train.loop import Interrupted, Trained, train

__all__ = ["Config", "Interrupted", "Trained", "read", "train"]
