"""Checkpoints on the model hub whose layouts `load` knows.

A configuration stands beside those whose shape is on record: in a published `config.json`, in the
training files of the MoM paper's code, or in the Mamba-2 paper's table of sizes. Parameter counts
follow from it and agree with the hub's where the hub gives one. Nothing is said of the others.
"""

from typing import Any, Final, NamedTuple


class Published(NamedTuple):
    """One checkpoint."""

    id: str
    """On the hub."""
    model_type: str
    config: dict[str, Any] | None = None
    """What its shape follows from; None: not on record."""


_GDN = {"num_heads": 4, "head_dim": 256, "expand_v": 1, "num_hidden_layers": 24}
_GDN_TIED = {**_GDN, "hidden_ratio": 4, "tie_word_embeddings": True}
_MOM = {**_GDN, "num_memories": 4, "topk": 2, "shared_mem": True, "tie_word_embeddings": True}


def _mamba2(width: int, layers: int) -> dict[str, Any]:
    return {
        **{"d_model": width, "n_layer": layers, "ssm_cfg": {"layer": "Mamba2"}},
        **{"vocab_size": 50_277, "pad_vocab_size_multiple": 16, "tie_embeddings": True},
    }


# fmt: off
PUBLISHED: Final = (
    Published("linear-moe-hub/MoM-Gated-Deltanet-340M", "mom_gated_deltanet",
              {**_MOM, "hidden_size": 1024, "hidden_ratio": 3}),
    Published("linear-moe-hub/MoM-Gated-Deltanet-1.3B", "mom_gated_deltanet",
              {**_MOM, "hidden_size": 2048, "hidden_ratio": 4}),
    Published("linear-moe-hub/Gated-Deltanet-340M", "gated_deltanet",
              {**_GDN_TIED, "hidden_size": 1024}),
    Published("linear-moe-hub/Gated-Deltanet-1.3B", "gated_deltanet",
              {**_GDN_TIED, "hidden_size": 2048}),
    Published("linear-moe-hub/GLA-340M", "gla"),
    Published("linear-moe-hub/GSA-340M", "gsa"),
    Published("linear-moe-hub/HGRN2-340M", "hgrn2"),
    Published("linear-moe-hub/RetNet-340M", "retnet"),
    Published("linear-moe-hub/Transformer-340M", "transformer"),
    Published("fla-hub/gla-1.3B-100B", "gla",
              {"hidden_size": 2048, "num_heads": 4, "num_hidden_layers": 24, "expand_k": 0.5}),
    Published("fla-hub/gla-1.3B-200B", "gla"),
    Published("fla-hub/gla-2.7B-100B", "gla"),
    Published("fla-hub/retnet-1.3B-100B", "retnet"),
    Published("fla-hub/retnet-2.7B-100B", "retnet"),
    Published("fla-hub/hgrn2-1.3B-100B", "hgrn2"),
    Published("fla-hub/hgrn2-2.7B-100B", "hgrn2"),
    Published("fla-hub/gsa-1.3B-100B", "gsa"),
    Published("fla-hub/gsa-2.7B-100B", "gsa"),
    Published("fla-hub/delta_net-1.3B-100B", "delta_net"),
    Published("fla-hub/delta_net-1.3B-8K-100B", "delta_net"),
    Published("fla-hub/delta_net-2.7B-100B", "delta_net"),
    Published("fla-hub/transformer-340M-10B", "transformer"),
    Published("fla-hub/transformer-1.3B-100B", "transformer"),
    Published("fla-hub/transformer-2.7B-100B", "transformer"),
    Published("fla-hub/transformer-7B-mistral", "transformer"),
    Published("state-spaces/mamba2-130m", "mamba2", _mamba2(768, 24)),
    Published("state-spaces/mamba2-370m", "mamba2", _mamba2(1024, 48)),
    Published("state-spaces/mamba2-1.3b", "mamba2", _mamba2(2048, 48)),
    Published("state-spaces/mamba2-2.7b", "mamba2", _mamba2(2560, 64)),
)
# fmt: on
