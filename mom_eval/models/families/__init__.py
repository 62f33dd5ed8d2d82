"""The families of the recurrence, by name. Adding one: `docs/adding.md`."""

from mom_eval.models.families.delta_net import DeltaNet
from mom_eval.models.families.gated_deltanet import GatedDeltaNet
from mom_eval.models.families.gla import GLA
from mom_eval.models.families.gsa import GSA
from mom_eval.models.families.hgrn2 import HGRN2
from mom_eval.models.families.kda import KDA
from mom_eval.models.families.linear_attn import LinearAttention
from mom_eval.models.families.mamba2 import Mamba2
from mom_eval.models.families.retnet import RetNet
from mom_eval.models.family import Family

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        LinearAttention,
        RetNet,
        GLA,
        HGRN2,
        Mamba2,
        DeltaNet,
        GatedDeltaNet,
        KDA,
        GSA,
    )
}
