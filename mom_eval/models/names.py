"""Published parameter names as tables: what other code bases call the pieces of a model.

A piece (`LM.pieces`) is one linear map, norm or scalar; a published tensor is one piece, or several
one after the other. The tables map stems: `q` -> `q_proj` maps `q.weight` to `q_proj.weight`, and
stems that share a published name are joined in the order of the table.
"""

import re
from collections.abc import Container, Iterable

from mom_eval.models.config import ModelConfig

CONV = {"q_conv": "q_conv1d", "k_conv": "k_conv1d", "v_conv": "v_conv1d"}
QKV = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "o_proj", **CONV}
FLA = {
    "linear_attn": QKV,
    "retnet": {**QKV, "gate": "g_proj"},
    "gla": {**QKV, "gate": "g_proj", "gk": "gk_proj"},
    "hgrn2": {
        **{"q": "q_proj", "f": "f_proj", "i": "i_proj", "out": "o_proj", "norm": "g_norm"},
        **{"q_conv": "q_conv1d", "f_conv": "f_conv1d", "i_conv": "i_conv1d"},
    },
    "delta_net": {**QKV, "b": "b_proj", "gate": "g_proj", "norm": "o_norm"},
    "gated_deltanet": {
        **QKV,
        **{"a": "a_proj", "b": "b_proj", "gate": "g_proj", "norm": "o_norm", "router": "gate"},
    },
    "kda": {**QKV, "f": "f_proj", "b": "b_proj", "gate": "g_proj", "norm": "o_norm"},
    "gsa": {**QKV, "f": "f_proj", "norm": "g_norm"},
    "attention": {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "o_proj"},
}
"""Mixers in flash-linear-attention: piece -> name below `model.layers.N.attn.`"""

MAMBA2 = {
    **{"z": "in_proj", "x": "in_proj", "B": "in_proj", "C": "in_proj", "dt": "in_proj"},
    **{"x_conv": "conv1d", "B_conv": "conv1d", "C_conv": "conv1d", "out": "out_proj"},
}
"""Mamba-2, everywhere: piece -> name below `backbone.layers.N.mixer.`"""

MLP = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
FUSED_MLP = {"gate": "gate_proj", "up": "gate_proj", "down": "down_proj"}
"""The old layout of linear-moe-hub keeps gate and up in one tensor, gate first."""

_MEMORY = re.compile(r"memories\.(\d+)\.([^.]+)\.(.+)")
_LAYER = re.compile(r"layers\.(\d+)\.(mixer_norm|mlp_norm|mixer|mlp)\.(.+)")


def published_names(
    pieces: Iterable[str], config: ModelConfig, layout: str
) -> dict[str, list[str]]:
    """Published name -> the pieces it holds, in their order.

    Args:
        pieces: the names in `LM.pieces()`.
        config: of the model.
        layout: `fla`, `fla-fused-mlp` (linear-moe-hub's old one), `mamba2`, `state-spaces`, or
            `own`, whose tensors are the pieces.
    """
    mlp = FUSED_MLP if layout == "fla-fused-mlp" else MLP
    out: dict[str, list[tuple[int, str]]] = {}
    for piece in pieces:
        if layout == "own":
            order, name = 0, piece
        elif layout in ("mamba2", "state-spaces"):
            order, name = _mamba2(piece, layout)
        else:
            order, name = _fla(piece, config, mlp)
        out.setdefault(name, []).append((order, piece))
    return {name: [piece for _, piece in sorted(held)] for name, held in out.items()}


def _stem(piece: str, table: dict[str, str]) -> tuple[int, str]:
    """`q.weight` -> its place in the table and its published name."""
    stem, dot, rest = piece.partition(".")
    order = list(table).index(stem) if stem in table else 0
    return order, table.get(stem, stem) + dot + rest


def _fla(piece: str, config: ModelConfig, mlp: dict[str, str]) -> tuple[int, str]:
    whole = {"head.weight": "lm_head.weight"}
    layer = _LAYER.fullmatch(piece)
    if layer is None:
        return 0, whole.get(piece, f"model.{piece}")
    index, part, rest = layer.groups()
    base = f"model.layers.{index}."
    if part.endswith("_norm"):
        return 0, base + part.replace("mixer", "attn") + "." + rest
    if part == "mlp":
        order, name = _stem(rest, mlp)
        return order, f"{base}mlp.{name}"
    attention = int(index) in config.attention_layers
    table = FLA["attention" if attention else config.family or ""]
    if not attention and config.family in ("gla", "retnet"):
        gated = config.options.use_output_gate
        table = table | {"norm": "g_norm_swish_gate" if gated else "g_norm"}
    if memory := _MEMORY.fullmatch(rest):
        m, stem, last = memory.groups()
        return 0, f"{base}attn.{table[stem]}.{m}.{last}"
    if rest.startswith("shared."):
        return 0, f"{base}attn.shared_{rest.removeprefix('shared.')}"
    return 0, f"{base}attn.{_stem(rest, table)[1]}"


def _mamba2(piece: str, layout: str) -> tuple[int, str]:
    whole = {
        "embeddings.weight": "backbone.embeddings.weight",
        "norm.weight": "backbone.norm_f.weight",
        "head.weight": "lm_head.weight",
    }
    if layout == "state-spaces":
        whole["embeddings.weight"] = "backbone.embedding.weight"
    layer = _LAYER.fullmatch(piece)
    if layer is None:
        return 0, whole[piece]
    index, part, rest = layer.groups()
    base = f"backbone.layers.{index}."
    if part == "mixer_norm":
        return 0, f"{base}norm.{rest}"
    order, name = _stem(rest, MAMBA2)
    return order, f"{base}mixer.{name}"


OLDER = (
    # norm_first: the norms inside what they stand before
    (r"(.*\.)attn_norm\.weight", r"\1attn.norm.weight"),
    (r"(.*\.)mlp_norm\.weight", r"\1mlp.norm.weight"),
    # fuse_norm = false: GLA and RetNet name their norm by whether the gate is fused into it
    (r"(.*\.)g_norm_swish_gate\.weight", r"\1g_norm.weight"),
    (r"backbone\.embeddings\.weight", r"backbone.embedding.weight"),
    # tied embeddings, of which a file may keep either name
    (r"(model|backbone)\.embeddings?\.weight", r"lm_head.weight"),
)
"""What else a tensor may be called, where a file has no tensor of the name that is usual."""


def as_spelled(names: dict[str, list[str]], present: Container[str]) -> dict[str, list[str]]:
    """The same table, with the names that the file has for what it spells in an older way."""
    out = {}
    for name, held in names.items():
        for usual, older in OLDER:
            other = re.sub(usual, older, name)
            if name not in present and other in present and other not in names:
                name = other
        out[name] = held
    return out


DROPPED = {
    r".*\.attn\.D": "the published code never reads it",
    r".*\.rotary\.inv_freq": "computed from rope_theta",
    r".*\.attn\.feature_map_k\..*": "tied to feature_map_q",
}
"""Tensors that a checkpoint may hold and no model needs, with the reason."""


def reason_to_drop(name: str, config: ModelConfig) -> str | None:
    """Why a published tensor that no piece asks for may be left out; None: it may not."""
    if name == "lm_head.weight" and config.tie_embeddings:
        return "tied to the embeddings"
    tied = getattr(config.options, "tie_feature_map_qk", False)
    for pattern, reason in DROPPED.items():
        if re.fullmatch(pattern, name) and ("feature_map" not in name or tied):
            return reason
    return None
