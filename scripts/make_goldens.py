"""Golden checkpoints: tiny models that flash-linear-attention made, and the logits it gives them.

    python scripts/make_goldens.py [NAME ...]

writes `tests/models/golden/<NAME>/` for every layout of fla without attention: the checkpoint as
`save_pretrained` leaves it (config.json, model.safetensors) and expected.safetensors with

    tokens            [B, T] int64, B sequences that were run one by one
    logits            [B, T, vocab] float32
    routes.<i>        [B, T, k] int64, MoM only: the memories of layer i, most probable first
    probabilities.<i> [B, T, M] float32, MoM only: the router's softmax over all memories

Needs flash-linear-attention (the test extra) and no GPU: Triton's interpreter runs fla's kernels.
It cannot run the chunked ones, so T is at most 64, where fla's layers choose the recurrent ones.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:  # transformers imports triton, and `interpret` must come first
    from transformers import PreTrainedModel

GOLDEN = Path(__file__).resolve().parents[1] / "tests/models/golden"
SEED = 3
VOCAB = 64
TINY = {"hidden": 32, "heads": 2}
SEQUENCES, TOKENS = 2, 50
PEERS = ("flash-linear-attention", "triton", "torch", "transformers", "safetensors")
CLOSE_CALL = 1e-4
"""Two memories' probabilities that are closer than this could change places with rounding."""

README = """# Golden checkpoints

Tiny models with random weights that flash-linear-attention (fla) made and saved, and the logits
that it computed with them. Made by

    python scripts/make_goldens.py

whose docstring says what each file holds, with

{versions}

on a CPU, in float32, by fla's recurrent kernels under Triton's interpreter. These round nowhere
below float32: against the same models in float64 the logits are off by 3e-5 at most and 1.3e-6 of
their root mean square, with a spread of 1.3 to 2. In every MoM the chosen memories are at least
1e-4 more probable than the rest, so the routes can be compared as they are.

Two faults of fla 0.6.0 are mended while it runs (`mended` in the script): MoM's unstable sort of
tokens, and the order of Mamba-2's groups at prefill.
"""

Layout = tuple[str, dict[str, Any]]
"""fla's model_type and the options that differ from its defaults."""


class GoldenError(Exception):
    """A golden would not test what it is for; the message is one sentence."""


def layouts(hidden: int, heads: int) -> dict[str, Layout]:
    """Every layout at a size, by name; hidden / heads is a multiple of 8.

    The first of a family is the published form, the others turn on what it can do besides.
    """
    head = hidden // heads
    delta = {"num_heads": heads, "head_dim": head}
    grouped_values = {**delta, "num_v_heads": 2 * heads, "allow_neg_eigval": True}
    ssm = {"head_dim": head, "num_heads": 2 * heads, "state_size": head}
    families: dict[str, Layout] = {
        "linear_attn": ("linear_attn", {"num_heads": heads}),
        "linear_attn_normalised": ("linear_attn", {
            "num_heads": heads, "num_kv_heads": 1, "feature_map": "elu", "attn_mode": "chunk",
            "norm_feature_map": True, "norm_q": True, "norm_k": True,
        }),
        "retnet": ("retnet", {"num_heads": heads}),
        "gla": ("gla", {"num_heads": heads}),
        "gla_conv": ("gla", {
            "num_heads": heads, "num_kv_heads": 1, "expand_k": 1.0, "use_short_conv": True,
            "clamp_min": -0.06, "fuse_norm": False,
        }),
        "hgrn2": ("hgrn2", {"expand_ratio": head, "num_hidden_layers": 3}),
        "mamba2": ("mamba2", ssm),
        "mamba2_groups": ("mamba2", {
            **ssm, "n_groups": 2, "use_bias": True, "dt_limit": (0.2, 1.0), "D_has_hdim": True,
        }),
        "delta_net": ("delta_net", {"num_heads": heads}),
        "delta_net_gate": ("delta_net", {
            "num_heads": heads, "use_gate": True, "qk_activation": "elu", "qk_norm": "sum",
            "expand_k": 0.5, "expand_v": 2.0, "allow_neg_eigval": True,
        }),
        "gated_deltanet": ("gated_deltanet", delta),
        "gated_deltanet_gva": ("gated_deltanet", {
            **grouped_values, "expand_v": 1.0, "output_gate_activation": "sigmoid",
        }),
        "kda": ("kda", delta),
        "kda_gva": ("kda", {**grouped_values, "safe_gate": True, "lower_bound": -2.0}),
        "gsa": ("gsa", {"num_heads": heads, "num_slots": head}),
        "gsa_kv": ("gsa", {
            "num_heads": heads, "num_kv_heads": 1, "num_slots": head // 2, "use_short_conv": True,
            "exapnd_k": 0.5,  # fla spells it so
        }),
        "mom": ("mom", delta),
        "mom_common": ("mom", {**delta, "single_kv_proj": True, "expand_v": 2.0}),
        "mom_plain": ("mom", {
            **delta, "shared_mem": False, "use_output_gate": False, "num_memories": 5,
            "tie_word_embeddings": True,
        }),
    }  # fmt: skip
    return {name: (kind, common(kind, hidden) | more) for name, (kind, more) in families.items()}


def common(kind: str, hidden: int) -> dict[str, Any]:
    """Options of all layouts; norm_eps is large enough that a model without it is found out."""
    mlp = {} if kind == "mamba2" else {"intermediate_size": 3 * hidden // 4}
    size = {"vocab_size": VOCAB, "hidden_size": hidden, "num_hidden_layers": 2}
    return {**size, **mlp, "norm_eps": 1e-2}


def build(layout: Layout) -> PreTrainedModel:
    """The model of a layout with weights that all matter, in float32 on the CPU."""
    import fla  # noqa: F401  registers its model types with transformers
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, options = layout
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).eval()
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(drawn(name, torch.randn(parameter.shape, generator=generator)))
    return model


def drawn(name: str, noise: Tensor) -> Tensor:
    """Standard normal noise -> values for the parameter `name` that are far from its neutral ones.

    fla's own start would hide faults: norms and D of one, biases of zero, tiny projections.
    """
    last = name.rsplit(".", 1)[-1]
    if last == "D" or ("norm" in name and last == "weight"):
        return 1 + 0.3 * noise
    if last == "A_log":
        return noise - 1.5
    if last == "lower_bounds":
        return noise
    if "conv1d" in name or noise.dim() == 1:
        return 0.5 * noise
    return 1.5 * noise / noise.shape[1] ** 0.5


@contextmanager
def mended() -> Iterator[None]:
    """Run fla 0.6.0 without two faults of its own.

    - MoM sorts tokens by memory without asking for a stable sort. On a CPU, from 17 tokens on, the
      tokens of a memory come out of order, so that a later one changes the logits of an earlier.
    - Mamba-2's torch path deals its groups out to the heads in turn at prefill, where the published
      kernels, transformers and fla's own decoding give each group a block of neighbouring heads.
    """
    argsort, repeat = Tensor.argsort, Tensor.repeat

    def stable(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
        return argsort(x, stable=True, dim=dim, descending=descending)

    def in_blocks(x: Tensor, *times: int) -> Tensor:
        groups_to_heads = x.dim() == 4 and (*times[:2], *times[3:]) == (1, 1, 1)
        return x.repeat_interleave(times[2], 2) if groups_to_heads else repeat(x, *times)

    with patch.object(Tensor, "argsort", stable), patch.object(Tensor, "repeat", in_blocks):
        yield


def expect(model: PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """What expected.safetensors holds for tokens [B, T]; the model may be on another device."""
    runs = [expect_one(model, row) for row in tokens]
    stacked = {name: torch.stack([run[name] for run in runs]) for name in runs[0]}
    return {"tokens": tokens} | stacked


def expect_one(model: PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """The same without `tokens` for one sequence [T]."""
    device = next(model.parameters()).device
    with torch.no_grad(), mended():
        out = model(tokens[None].to(device), use_cache=False)
    found = {"logits": out.logits[0].float().cpu()}
    routers = out.router_logits if model.config.model_type == "mom" else ()
    for layer, logits in enumerate(routers):
        # On the device and as fla does it, so that ties fall as they fell in the model.
        probabilities = logits.softmax(-1, dtype=torch.float32)
        found[f"routes.{layer}"] = probabilities.topk(model.config.topk).indices.cpu()
        found[f"probabilities.{layer}"] = probabilities.cpu()
    return found


def closest_call(expected: dict[str, Tensor]) -> float:
    """The least gap between the last memory chosen and the first left out; 1 without memories."""
    gaps = [1.0]
    for name, routes in expected.items():
        if name.startswith("routes."):
            probabilities = expected[f"probabilities.{name.removeprefix('routes.')}"]
            chosen = probabilities.gather(-1, routes).amin(-1)
            gaps.append(float((chosen - probabilities.scatter(-1, routes, 0.0).amax(-1)).min()))
    return min(gaps)


def unread(model: PreTrainedModel, tokens: Tensor) -> list[str]:
    """The parameters that the logits of one sequence [T] do not depend on."""
    before = expect_one(model, tokens)["logits"]
    # Not the weights' own noise: a norm may take out what only scales a matrix.
    generator = torch.Generator().manual_seed(SEED + 1)
    idle = []
    for name, parameter in model.named_parameters():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        if not (expect_one(model, tokens)["logits"] - before).abs().max() > 1e-3:
            idle.append(name)
        with torch.no_grad():
            parameter.copy_(kept)
    return idle


def save(folder: Path, model: PreTrainedModel, expected: dict[str, Tensor]) -> None:
    """Write a golden, in the place of an older one of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file(expected, folder / "expected.safetensors")


def make(name: str, layout: Layout) -> None:
    """Build, run, check and write one golden.

    Raises:
        GoldenError: a parameter does not matter, or a route is too close to call.
    """
    start = time.monotonic()
    model = build(layout)
    generator = torch.Generator().manual_seed(SEED)
    expected = expect(model, torch.randint(VOCAB, (SEQUENCES, TOKENS), generator=generator))
    if closest_call(expected) < CLOSE_CALL:
        raise GoldenError(f"{name}: rounding could change a route; take another seed.")
    if idle := unread(model, expected["tokens"][0, :16]):
        raise GoldenError(f"{name}: the logits do not depend on {', '.join(idle)}.")
    save(GOLDEN / name, model, expected)
    size = sum(file.stat().st_size for file in (GOLDEN / name).iterdir())
    print(f"{name:24} {size // 1000:4} kB {time.monotonic() - start:6.1f} s", flush=True)


def interpret() -> None:
    """Let Triton run kernels in Python; must come before the first import of triton or fla."""
    os.environ["TRITON_INTERPRET"] = "1"
    from triton.runtime.autotuner import Autotuner

    # Without a GPU there is no driver to time the variants of a kernel with: take the first.
    Autotuner._bench = lambda self, *args, config, **meta: [1.0, 1.0, 1.0]


def main(names: list[str]) -> int:
    """Make the goldens of these names; of none, all, with their README. The exit status."""
    interpret()
    known = layouts(**TINY)
    if strangers := sorted(set(names) - set(known)):
        print(f"There is no {', '.join(strangers)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    try:
        for name in names or known:
            make(name, known[name])
    except GoldenError as error:
        print(error, file=sys.stderr)
        return 1
    if not names:
        versions = "\n".join(f"- {peer} {version(peer)}" for peer in PEERS)
        (GOLDEN / "README.md").write_text(README.format(versions=versions), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
