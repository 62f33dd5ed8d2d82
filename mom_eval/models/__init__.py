"""tokens -> logits, for every family of one recurrence, and where weights come from."""

from mom_eval.models.config import AttentionOptions, ModelConfig
from mom_eval.models.cost import Cost, cost
from mom_eval.models.families import FAMILIES
from mom_eval.models.lm import LM, Output, packed
from mom_eval.models.load import cast, known, load
from mom_eval.models.memory import Memories
from mom_eval.models.save import save
from mom_eval.models.state import State

__all__ = [
    "FAMILIES",
    "LM",
    "AttentionOptions",
    "Cost",
    "Memories",
    "ModelConfig",
    "Output",
    "State",
    "cast",
    "cost",
    "known",
    "load",
    "packed",
    "save",
]
