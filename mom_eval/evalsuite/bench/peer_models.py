"""Other libraries' models with the weights of ours: flash-linear-attention's and transformers'."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.peer_ops import check_fla
from mom_eval.models import LM, ModelConfig, save
from mom_eval.models.save import ARCHITECTURES, fla_config

_LLAMA = {
    "model.embeddings.": "model.embed_tokens.",
    ".attn_norm.": ".input_layernorm.",
    ".mlp_norm.": ".post_attention_layernorm.",
    ".attn.": ".self_attn.",
}
"""Names of flash-linear-attention's Transformer -> those of Llama."""
PEERS = {"fla": "flash-linear-attention", "hf": "transformers", "torch": "torch's kernels"}


class PeerModel:
    """A causal language model with the interface of transformers."""

    def __init__(self, model: Any) -> None:
        """`model` is on its device, in its type."""
        self._model = model.eval().requires_grad_(False)

    def parameters(self) -> Iterator[Tensor]:
        """Its weights, each once."""
        return self._model.parameters()

    def logits(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, vocab]."""
        return self._model(input_ids=tokens, use_cache=False).logits

    def learning(self) -> "PeerModel":
        """The same, whose `loss` has gradients."""
        self._model.train().requires_grad_(True)
        if hasattr(self._model, "aux_loss_scale"):
            # The loss of the text alone, as ours is here.
            self._model.aux_loss_scale = 0.0
        return self

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean nats of each sequence's tokens [B, T] but its first."""
        return self._model(input_ids=tokens, labels=tokens, use_cache=False).loss

    def prefill(self, tokens: Tensor) -> Any:
        """Read [B, T]; the logits behind the last tokens, and what is kept."""
        return self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)

    def decoding(self, tokens: Tensor) -> "Decoding":
        """Behind [B, T], a token a call."""
        return Decoding(self._model, self.prefill(tokens))


class Decoding:
    """One more token of every sequence at each call, as greedy generation has it."""

    def __init__(self, model: Any, read: Any) -> None:
        """`read` is what `prefill` returned."""
        self._model = model
        self._name = "cache_params" if hasattr(read, "cache_params") else "past_key_values"
        self._cache = getattr(read, self._name)
        self._next = read.logits[:, -1:].argmax(-1)

    def __call__(self) -> list[list[int]]:
        """Read the last tokens; returns the most probable next ones, as numbers of the host."""
        cache = {self._name: self._cache, "use_cache": True}
        found = self._model(input_ids=self._next, **cache)
        self._next = found.logits[:, -1:].argmax(-1)
        return self._next.tolist()


def check_peer(against: str | None, machine: Machine) -> None:
    """See that the library can run.

    Raises:
        SettingError: it cannot.
    """
    if against == "fla":
        check_fla(machine)


def peer_model(lm: LM, against: str, machine: Machine) -> PeerModel:
    """The library's model of this shape, with these weights.

    Raises:
        SettingError: it has none.
    """
    kind = lm.config.family if lm.config.memories is None else "mom"
    config = fla_config(lm.config)
    if config is None or (against == "hf" and kind not in ("mamba2", None)):
        raise SettingError(f"{PEERS[against]} has no {lm.config.name}")
    if against == "hf" and kind is None:
        return PeerModel(_llama(lm, machine))
    library = import_module("fla.models" if against == "fla" else "transformers")
    architecture = getattr(library, ARCHITECTURES[kind or "transformer"])
    with TemporaryDirectory() as folder:
        save(lm, folder)
        model = architecture.from_pretrained(folder, dtype=machine.dtype)
    return PeerModel(model.to(machine.device))


def _llama(lm: LM, machine: Machine) -> Any:
    """Transformers' Llama, which is our Transformer without a window, biases and norms."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config, options = lm.config, _plain(lm.config)
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size or 0,
            num_hidden_layers=config.num_layers,
            num_attention_heads=options.num_heads,
            num_key_value_heads=options.num_kv_heads,
            head_dim=options.head_dim,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_theta": options.rope_theta, "rope_type": "default"},
            tie_word_embeddings=config.tie_embeddings,
            max_position_embeddings=1 << 20,
        )
    )
    assert llama.config._attn_implementation == "sdpa"
    with TemporaryDirectory() as folder:
        save(lm, folder)
        tensors = load_file(Path(folder) / "model.safetensors")
    missing, left_over = llama.load_state_dict(
        {_llama_name(name): tensor for name, tensor in tensors.items()}, strict=False
    )
    tied = {"lm_head.weight"} if config.tie_embeddings else set()
    assert not left_over and set(missing) <= tied, (missing, left_over)
    placed: Any = llama
    return placed.to(device=machine.device, dtype=machine.dtype)


def _plain(config: ModelConfig) -> Any:
    options = config.attention
    if options is None or options.window or options.qkv_bias or options.qk_norm:
        raise SettingError(f"transformers' Llama is no {config.name} with these options")
    return options


def _llama_name(name: str) -> str:
    for theirs, llamas in _LLAMA.items():
        name = name.replace(theirs, llamas)
    return name
