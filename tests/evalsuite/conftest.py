"""Models of ours for the suite: a tiny MoM, and a Transformer with the tiny Llama's weights."""

import pytest
import torch

from mom_eval.models.config import AttentionOptions, ModelConfig
from mom_eval.models.families.gated_deltanet import GatedDeltaNet
from mom_eval.models.lm import LM
from mom_eval.models.memory import Memories
from mom_eval.models.save import save


def fresh(config: ModelConfig, seed: int = 0) -> LM:
    """A model of random weights."""
    torch.manual_seed(seed)
    lm = LM(config)
    lm.reset_parameters()
    return lm.eval()


@pytest.fixture(scope="session")
def mom(tokenizer) -> LM:
    """Gated DeltaNet over four memories and a shared one, 60 thousand parameters."""
    config = ModelConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_layers=2,
        family="gated_deltanet",
        options=GatedDeltaNet.Options(num_heads=2, head_dim=8),
        memories=Memories(num_memories=4, top_k=2, shared=True),
        intermediate_size=48,
        max_positions=128,
        init_std=0.5,
    )
    return fresh(config)


@pytest.fixture(scope="session")
def transformer(tiny_llama) -> LM:
    """Our Transformer with the weights of the tiny Llama."""
    from transformers import AutoModelForCausalLM

    llama = AutoModelForCausalLM.from_pretrained(tiny_llama)
    shape = llama.config
    lm = LM(
        ModelConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.hidden_size,
            num_layers=shape.num_hidden_layers,
            attention=AttentionOptions(
                num_heads=shape.num_attention_heads,
                num_kv_heads=shape.num_key_value_heads,
                head_dim=shape.head_dim,
                rope_theta=shape.rope_parameters["rope_theta"],
            ),
            attention_layers=tuple(range(shape.num_hidden_layers)),
            intermediate_size=shape.intermediate_size,
            norm_eps=shape.rms_norm_eps,
            max_positions=shape.max_position_embeddings,
        )
    )
    weights = llama.state_dict()
    with torch.no_grad():
        for name, part in lm.pieces().items():
            part.copy_(weights[llama_name(name)])
    return lm.eval()


def llama_name(name: str) -> str:
    """Our name of a parameter -> Llama's."""
    if name == "head.weight":
        return "lm_head.weight"
    for ours, theirs in (
        ("embeddings", "embed_tokens"),
        ("mixer_norm", "input_layernorm"),
        ("mlp_norm", "post_attention_layernorm"),
        ("mixer.out", "self_attn.o_proj"),
        ("mixer.", "self_attn."),
        (".q.", ".q_proj."),
        (".k.", ".k_proj."),
        (".v.", ".v_proj."),
        (".gate.", ".gate_proj."),
        (".up.", ".up_proj."),
        (".down.", ".down_proj."),
    ):
        name = name.replace(ours, theirs)
    return f"model.{name}"


@pytest.fixture(scope="session")
def tiny_mom(tmp_path_factory, mom, tokenizer):
    """Folder of the tiny MoM with its tokenizer."""
    folder = save(mom, tmp_path_factory.mktemp("ours") / "tiny-mom")
    tokenizer.save_pretrained(folder)
    return folder
