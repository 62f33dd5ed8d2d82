"""transformers' own Transformers and Mamba-2, their weights mapped into ours: the same logits.

Nothing of flash-linear-attention's that has attention can be made without flash-attn.
"""

import json
from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.mamba2.modeling_mamba2 import MambaRMSNormGated

from mom_eval.models import LM, AttentionOptions, ModelConfig, load
from mom_eval.models.attention import prepared
from mom_eval.models.names import published_names
from tests.models.shapes import CASES, error, new_model, run

TOLERANCE = 5e-6
TOKENS = torch.arange(60) * 7 % 50


def logits_of(peer, tokens=TOKENS):
    with torch.no_grad():
        return peer(tokens[None]).logits[0]


SHAPE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 50_000.0, "rope_type": "default"},
    "initializer_range": 0.3,
}


def llama(kv_heads: int, bias: bool) -> LlamaForCausalLM:
    config = LlamaConfig(**SHAPE, num_key_value_heads=kv_heads, attention_bias=bias)
    peer = drawn(LlamaForCausalLM, config)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if name.endswith("o_proj.bias"):
                parameter.zero_()  # ours has none there
    return peer


def drawn(kind: Any, config: Any) -> Any:
    """A random model; every parameter away from where it would not matter."""
    torch.manual_seed(0)
    peer = kind(config).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return peer


def filled(model: LM, weights: dict[str, torch.Tensor]) -> LM:
    pieces = model.pieces()
    assert pieces.keys() == weights.keys()
    with torch.no_grad():
        for name, piece in pieces.items():
            piece.copy_(weights[name].reshape(piece.shape))
    return model.eval()


LLAMA_NAMES = {
    "self_attn.q_proj": "mixer.q",
    "self_attn.k_proj": "mixer.k",
    "self_attn.v_proj": "mixer.v",
    "self_attn.o_proj": "mixer.out",
    "self_attn.q_norm": "mixer.q_norm",
    "self_attn.k_norm": "mixer.k_norm",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
    "input_layernorm": "mixer_norm",
    "post_attention_layernorm": "mlp_norm",
    "embed_tokens": "embeddings",
    "lm_head": "head",
    "model.": "",
}


def ours_of(name: str) -> str:
    for theirs, ours in LLAMA_NAMES.items():
        name = name.replace(theirs, ours)
    return name


def assert_same(peer: Any, **options: Any) -> None:
    """Our Transformer of these options, with the peer's weights, has the peer's logits."""
    config = ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_layers=2,
        attention=AttentionOptions(num_heads=4, rope_theta=50_000.0, **options),
        attention_layers=(0, 1),
        intermediate_size=48,
        norm_eps=1e-5,
    )
    weights = {
        ours_of(name): tensor
        for name, tensor in peer.state_dict().items()
        if not name.endswith("o_proj.bias")
    }
    model = filled(LM(config), weights)
    assert error(run(model, [TOKENS.tolist()]).logits, logits_of(peer)) < TOLERANCE


@pytest.mark.parametrize(("kv_heads", "bias"), [(4, False), (2, True), (1, False)])
def test_transformer_is_llama(kv_heads: int, bias: bool):
    assert_same(llama(kv_heads, bias), num_kv_heads=kv_heads, head_dim=8, qkv_bias=bias)


@pytest.mark.parametrize("window", [1, 11])
def test_windows_are_mistrals(window: int):
    config = MistralConfig(**SHAPE, num_key_value_heads=2, head_dim=8, sliding_window=window)
    peer = drawn(MistralForCausalLM, config)
    assert_same(peer, num_kv_heads=2, head_dim=8, window=window)


def test_normed_queries_and_keys_are_qwen3s():
    """Whose norms share one eps, and whose heads are wider than hidden_size / num_heads."""
    peer = drawn(Qwen3ForCausalLM, Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=12))
    assert_same(peer, num_kv_heads=2, head_dim=12, qk_norm=True)


def test_the_attention_of_hybrids_is_llamas():
    peer, model = llama(2, False), new_model(CASES["hybrid"])
    attention = model.layers[1].mixer
    attention.options = AttentionOptions(
        num_heads=4, num_kv_heads=2, head_dim=8, rope_theta=50_000.0
    )
    attention.q_norm = attention.k_norm = None
    pieces = attention.pieces()
    theirs: Any = peer.model.layers[1].self_attn
    with torch.no_grad():
        for name in ("q", "k", "v"):
            pieces[f"{name}.weight"].copy_(getattr(theirs, f"{name}_proj").weight)
        pieces["out.weight"].copy_(theirs.o_proj.weight)
        x = torch.randn(60, 32)
        rotary = peer.model.rotary_emb(x[None], torch.arange(60)[None])
        mask = torch.full((60, 60), -torch.inf).triu(1)[None, None]
        want = theirs(x[None], position_embeddings=rotary, attention_mask=mask)[0][0]
    seen = []
    attention.register_forward_hook(lambda module, given, out: seen.append((given, out)))
    run(model, [TOKENS.tolist()])
    (_, at, state, _), _ = seen[0]
    with torch.no_grad():
        got, _, _ = attention(x, prepared(at, attention.options, x), state)
    assert error(got, want) < TOLERANCE


# transformers 5.17 still norms over all channels at once; groups of B and C are right there too.
GROUPED = pytest.mark.skipif(
    "group_size" not in signature(MambaRMSNormGated).parameters, reason="peer has no grouped norm"
)


@pytest.mark.parametrize("groups", [1, pytest.param(2, marks=GROUPED)])
@pytest.mark.parametrize("limits", [(0.0, float("inf")), (0.01, 0.5)])
def test_mamba2_is_transformers_mamba2(tmp_path, groups: int, limits: tuple[float, float]):
    config = Mamba2Config(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_heads=4,
        head_dim=16,
        state_size=8,
        n_groups=groups,
        chunk_size=16,
        initializer_range=0.3,
        time_step_limit=limits,
    )
    peer = drawn(Mamba2ForCausalLM, config)
    peer.save_pretrained(tmp_path)
    model = load(tmp_path)
    assert model.config.family == "mamba2"
    assert model.config.options.n_groups == groups
    assert error(run(model, [TOKENS.tolist()]).logits, logits_of(peer)) < TOLERANCE


def test_mamba2_as_state_spaces_publishes_it(tmp_path):
    """The raw layout: other names, a vocabulary filled up to a multiple, tied embeddings."""
    config = replace(
        CASES["mamba2-1"], vocab_size=56, tie_embeddings=True, residual_float32=True, norm_eps=1e-5
    )
    model = new_model(config)
    pieces = model.pieces()
    names = published_names(pieces, config, "state-spaces")
    tensors = {
        name: torch.cat([pieces[piece].detach() for piece in held]) for name, held in names.items()
    }
    tensors = {
        name: tensor[:, None] if name.endswith("conv1d.weight") else tensor
        for name, tensor in tensors.items()
    }
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    raw = {
        "d_model": 32,
        "n_layer": 2,
        "vocab_size": 50,
        "ssm_cfg": {"layer": "Mamba2", "headdim": 16, "d_state": 8, "ngroups": 2},
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 8,
        "tie_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(raw))
    loaded = load(tmp_path, allow_pickle=True)
    assert replace(loaded.config, init_std=config.init_std) == config
    assert torch.equal(loaded(TOKENS).logits, model(TOKENS).logits)
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path)(TOKENS).logits, model(TOKENS).logits)
