"""Published `config.json` files <-> `ModelConfig`.

Each architecture has its defaults (what a missing key meant where it was written), keys under other
names, and keys that change nothing here. A key that is none of these and has a value is refused:
what is not understood is not guessed.
"""

import math
from dataclasses import asdict, fields
from typing import Any

from mom_eval.errors import CheckpointError
from mom_eval.models.config import AttentionOptions, ModelConfig
from mom_eval.models.families import FAMILIES
from mom_eval.models.fields import build, of_interest
from mom_eval.models.memory import Memories

DEFAULTS: dict[str, dict[str, Any]] = {
    "linear_attn": {"num_heads": 4},
    "retnet": {"num_heads": 8, "hidden_ratio": 2},
    "gla": {"num_heads": 4},
    "hgrn2": {},
    "delta_net": {"num_heads": 16},
    "gated_deltanet": {"num_heads": 6, "head_dim": 256, "num_hidden_layers": 21},
    "kda": {"num_heads": 16, "head_dim": 128},
    "gsa": {"num_heads": 4, "num_slots": 64},
    "mom": {
        "num_heads": 4,
        "head_dim": 256,
        "expand_v": 1.0,
        "num_memories": 4,
        "shared_mem": True,
    },
    "mom_gated_deltanet": {
        **{"num_heads": 6, "head_dim": 256, "num_hidden_layers": 21, "num_memories": 8},
        "shared_mem": False,
    },
    "transformer": {"num_heads": 32},
}
"""What keys mean that an architecture's configuration leaves out, beside `COMMON`."""

COMMON: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "hidden_ratio": 4,
    "intermediate_size": None,
    "norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "max_position_embeddings": 2048,
    "initializer_range": 0.02,
    "attn": None,
}
ALIASES = {
    "rms_norm_eps": "norm_eps",
    "layer_norm_epsilon": "norm_eps",
    "exapnd_k": "expand_k",
    "exapnd_v": "expand_v",
    "time_step_limit": "dt_limit",
    "rms_norm": "rmsnorm",
    "num_experts": "num_memories",
    "single_expert": "single_kv_proj",
}
"""Keys under a name of earlier code; MoM's memories were its experts at first."""

IGNORED = frozenset(
    """architectures attn_mode auto_map aux_loss_scale bos_token_id capacity chunk_size clamp_max
    conv_init dt_init_floor dt_max dt_min dtype eos_token_id fuse_cross_entropy
    fuse_linear_cross_entropy fuse_norm fuse_swiglu A_init_range id2label is_decoder label2id
    model_type mom_backend norm_first output_attentions output_hidden_states
    output_router_logits pad_token_id rescale_prenorm_residual return_dict safe_gate
    share_conv_kernel time_step_floor time_step_init_scheme time_step_max time_step_min
    time_step_rank time_step_scale torch_dtype transformers_version unk_token_id use_cache
    use_l2warp use_layer_wise_balance use_mem_eff_path use_norm use_output_norm""".split()
)
"""Keys that change no logit here, whatever their value; `norm_first` and `share_conv_kernel`
change names, which are compared with the file's."""

NULLABLE = ("expand_ratio", "feature_map", "hidden_ratio", "num_slots")
"""Keys whose null says something else than leaving them out."""

MUST_BE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("swish", "silu"),
    "attnres_block_size": (None,),
    "use_gk": (True,),
    "use_gv": (False,),
    "mom_backend": ("gated_deltanet",),
    "use_output_norm": (True,),
    "use_norm": (True,),
    "clamp_max": (None,),
    "output_gate_activation": ("swish", "silu", "sigmoid"),
}
"""Values other than these ask for what no family here does."""

NOT_IN_MOM = {"num_v_heads", "allow_neg_eigval", "output_gate_activation"}
"""Options of Gated DeltaNet that the published MoM over it does not know."""

BOUNDS = {
    "vocab_size": 2**20,
    "hidden_size": 2**16,
    "num_hidden_layers": 1000,
    "num_layers": 1000,
    "intermediate_size": 2**18,
    "num_heads": 2**12,
    "num_kv_heads": 2**12,
    "num_v_heads": 2**12,
    "head_dim": 2**12,
    "num_slots": 2**12,
    "num_memories": 2**10,
    "topk": 2**10,
    "state_size": 2**12,
    "n_groups": 2**12,
    "conv_size": 64,
    "conv_kernel": 64,
    "expand_ratio": 2**12,
    "gate_low_rank_dim": 2**12,
    "gate_logit_normalizer": 2**12,
    "window_size": 2**31,
    "window": 2**31,
}
"""Whole numbers from 1 up to these; a size beyond is a broken file, not a model."""


def read_config(config: dict[str, Any]) -> ModelConfig:
    """The model that a published configuration describes.

    Raises:
        CheckpointError: the architecture is not one of ours, a size is out of bounds, or a key asks
            for something that is not built here.
    """
    kind = config.get("model_type")
    try:
        if kind == "mom_eval":
            return _own(config)
        if "ssm_cfg" in config:
            return _mamba2(_plain(_state_spaces(config)))
        if kind == "mamba2":
            if "dt_limit" not in config:
                # Who wrote this file said norm_before_gate = true and always gated first.
                config = config | {"norm_before_gate": None}
            return _mamba2(_plain(config))
        if kind not in DEFAULTS:
            known = ", ".join([*DEFAULTS, "mamba2", "mom_eval"])
            raise CheckpointError(f"config.json has model_type {kind!r}; known here: {known}")
        return _fla(str(kind), COMMON | DEFAULTS[str(kind)] | _plain(config))
    except KeyError as error:
        raise CheckpointError(f"config.json lacks {error}") from error
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"config.json does not describe a model: {error}") from error


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The keys that matter, under their one name, with sizes in bounds."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        name = ALIASES.get(key, key)
        if name in out and value is not None and out[name] not in (None, value):
            raise CheckpointError(f"config.json has {name} = {out[name]!r} and {key} = {value!r}")
        if value is not None or key in NULLABLE:
            out[name] = value
    return _bounded(out)


def _bounded(config: dict[str, Any]) -> dict[str, Any]:
    """The same keys; what they ask for is built, and their sizes are within bounds."""
    for key, allowed in MUST_BE.items():
        if key in config and config[key] not in allowed:
            raise CheckpointError(
                f"config.json asks for {key} = {config[key]!r}, which is not built"
            )
    for key, most in BOUNDS.items():
        size = config.get(key)
        if size is not None and not (type(size) is int and 1 <= size <= most):
            raise CheckpointError(
                f"config.json has {key} = {size!r}; expected a whole number from 1 to {most:,}"
            )
    return config


def _understood(config: dict[str, Any], keys: set[str]) -> None:
    """Refuse keys with values that nothing here reads."""
    keys = keys | IGNORED | MUST_BE.keys()
    unknown = {
        key: value
        for key, value in config.items()
        # A switch that is off, or a dropout of 0, asks for nothing.
        if key not in keys and not key.startswith("_") and value not in (None, False)
    }
    if unknown.get("elementwise_affine") is True:  # the only form of families that lack the option
        del unknown["elementwise_affine"]
    if unknown:
        listed = ", ".join(f"{key} = {value!r}" for key, value in unknown.items())
        raise CheckpointError(f"config.json has keys that are not understood here: {listed}")


def _fla(kind: str, config: dict[str, Any]) -> ModelConfig:
    """flash-linear-attention's configurations, and linear-moe-hub's older ones."""
    routed = kind in ("mom", "mom_gated_deltanet")
    family = None if kind == "transformer" else "gated_deltanet" if routed else kind
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    read = set(COMMON)
    memories = options = attention = None
    if family is not None:
        if routed:
            config["use_gate"] = config.get("use_output_gate", config.get("use_gate", True))
            if kind == "mom_gated_deltanet" and config.get("capacity", 1.0) != 1.0:
                raise CheckpointError("config.json has a capacity below 1, which is not built")
            read |= {"num_memories", "topk", "shared_mem", "single_kv_proj", "use_output_gate"}
            given = {
                "num_memories": config["num_memories"],
                "top_k": config.get("topk", 2),
                "shared": config.get("shared_mem", False),
                "common_kv": config.get("single_kv_proj", False),
            }
            memories = build(Memories, given)
        options = _options(family, config)
        read |= {field.name for field in fields(options)} - (NOT_IN_MOM if routed else set())
        attention_layers = ()
        if hybrid := config["attn"]:
            attention_layers, attention = _hybrid(hybrid, hidden)
    else:
        attention_layers = tuple(range(layers))
        attention = _attention(config, hidden)
        read |= {*ATTENTION, "elementwise_affine"}
    _understood(config, read)
    values = {
        "vocab_size": config["vocab_size"],
        "hidden_size": hidden,
        "num_layers": layers,
        "family": family,
        "options": options,
        "memories": memories,
        "attention": attention,
        "attention_layers": attention_layers,
        "intermediate_size": config["intermediate_size"] or _swiglu_width(hidden, config),
        "norm_eps": config["norm_eps"],
        "tie_embeddings": config["tie_word_embeddings"],
        "max_positions": config["max_position_embeddings"],
        "init_std": config["initializer_range"],
    }
    return build(ModelConfig, values)


def _swiglu_width(hidden: int, config: dict[str, Any]) -> int:
    return 256 * math.ceil(int(hidden * (config["hidden_ratio"] or 4) * 2 / 3) / 256)


def _options(family: str, config: dict[str, Any]) -> Any:
    """The family's options, from keys of the same names."""
    kind = FAMILIES[family].Options
    return build(kind, of_interest(kind, config))


HYBRID = ("num_heads", "num_kv_heads", "qkv_bias", "window_size", "rope_theta")
ATTENTION = (*HYBRID, "qk_norm")


def _hybrid(given: Any, hidden: int) -> tuple[tuple[int, ...], AttentionOptions]:
    """The layers of a hybrid that are attention, and what it is like."""
    if isinstance(given, list):
        if len(given) != 1:
            raise ValueError("its attention layers are of several kinds, which is not built")
        given = given[0]
    _understood(_plain(given), {"layers", *HYBRID})
    return tuple(given["layers"]), _attention(_plain(given), hidden)


def _attention(config: dict[str, Any], hidden: int) -> AttentionOptions:
    heads = config["num_heads"]
    if hidden % heads:
        raise ValueError(f"{heads} attention heads do not divide hidden_size {hidden}")
    given = {
        "num_heads": heads,
        "num_kv_heads": config.get("num_kv_heads", heads),
        "head_dim": hidden // heads,
        "rope_theta": config.get("rope_theta", 10_000.0),
        "window": config.get("window_size"),
        "qkv_bias": config.get("qkv_bias", False),
        "qk_norm": config.get("qk_norm", False),
    }
    return build(AttentionOptions, given)


def _mamba2(config: dict[str, Any]) -> ModelConfig:
    """Mamba-2 as flash-linear-attention, transformers or state-spaces write it."""
    hidden, head = config.get("hidden_size", 2048), config.get("head_dim", 64)
    inner = config.get("expand", 2) * hidden
    heads = config.get("num_heads") or inner // head
    if heads * head != inner:
        raise ValueError(f"{heads} heads of {head} are not expand * hidden_size = {inner}")
    low, high = config.get("dt_limit", (0.0, math.inf))
    config |= {"num_heads": heads, "head_dim": head, "dt_limit": (_number(low), _number(high))}
    options = _options("mamba2", config)
    _understood(
        config,
        {field.name for field in fields(options)} | COMMON.keys() | {"expand", "residual_in_fp32"},
    )
    values = {
        "vocab_size": config.get("vocab_size", 32_000),
        "hidden_size": hidden,
        "num_layers": config.get("num_hidden_layers", 48),
        "family": "mamba2",
        "options": options,
        "norm_eps": config.get("norm_eps", 1e-5),
        "tie_embeddings": config.get("tie_word_embeddings", False),
        "residual_float32": config.get("residual_in_fp32", True),
        "init_std": config.get("initializer_range", 0.02),
    }
    return build(ModelConfig, values)


STATE_SPACES = {
    **{"d_state": "state_size", "d_conv": "conv_kernel", "headdim": "head_dim"},
    **{"ngroups": "n_groups", "bias": "use_bias", "conv_bias": "use_conv_bias"},
}
"""`ssm_cfg`'s keys that have another name here."""


def _state_spaces(config: dict[str, Any]) -> dict[str, Any]:
    """state-spaces/mamba2-*: d_model, n_layer, ssm_cfg, a vocabulary filled up to a multiple."""
    ssm: dict[str, Any] = dict(config["ssm_cfg"])
    layer = ssm.pop("layer", "Mamba1")
    if layer != "Mamba2" or config.get("attn_layer_idx") or config.get("d_intermediate"):
        raise CheckpointError(f"config.json describes a {layer} with parts that are not built here")
    multiple = config.get("pad_vocab_size_multiple", 8)
    return {STATE_SPACES.get(key, key): value for key, value in ssm.items()} | {
        "vocab_size": math.ceil(config["vocab_size"] / multiple) * multiple,
        "hidden_size": config["d_model"],
        "num_hidden_layers": config["n_layer"],
        "tie_word_embeddings": config.get("tie_embeddings", True),
        "residual_in_fp32": config.get("residual_in_fp32", True),
    }


def _number(value: Any) -> float:
    """A number, also in the forms that JSON writers give infinity."""
    return float(value["__float__"]) if isinstance(value, dict) else float(value)


def _own(config: dict[str, Any]) -> ModelConfig:
    """What `own_config` wrote."""
    values = {key: value for key, value in config.items() if key not in ("model_type", "version")}
    kinds = {"memories": Memories, "attention": AttentionOptions}
    if values.get("family") is not None:
        kinds["options"] = FAMILIES[values["family"]].Options
    for name, kind in kinds.items():
        part = values.get(name)
        if part is None and name != "options":
            continue
        if not isinstance(part, dict):
            raise TypeError(f"{name} = {part!r}")
        if "dt_limit" in part:
            part = part | {"dt_limit": tuple(map(_number, part["dt_limit"]))}
        values[name] = build(kind, _bounded(part))
    values["attention_layers"] = tuple(values.get("attention_layers", ()))
    return build(ModelConfig, _bounded(values))


def own_config(config: ModelConfig) -> dict[str, Any]:
    """Every field under its own name, for models that no published layout can express."""
    values = asdict(config)
    if config.options is not None and "dt_limit" in values["options"]:
        values["options"]["dt_limit"] = [
            {"__float__": "Infinity"} if math.isinf(limit) else limit
            for limit in values["options"]["dt_limit"]
        ]
    return {"model_type": "mom_eval", "version": 1, **values}
