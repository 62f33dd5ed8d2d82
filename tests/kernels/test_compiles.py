"""Every kernel that models launch is compiled for Hopper: the interpreter runs what Triton refuses.

No GPU is needed for that, only the compiler that Triton brings. What is generated is not run.
"""

import pytest
import torch

from mom_eval.kernels import choose
from mom_eval.kernels.ahead import unlaunched
from mom_eval.models import cast
from mom_eval.models.ahead import make_calls
from tests.models.shapes import CASES, new_model

pytest.importorskip("triton")
MODELS = {
    "gated_deltanet-4+shared": torch.bfloat16,
    "kda-4": torch.bfloat16,
    "mamba2-1": torch.float32,
    "hybrid": torch.bfloat16,
}
TYPES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
}


class Compiler:
    """Stands in for launches: compiles each kernel as it would be for them, once."""

    def __init__(self):
        self.compiled = {}

    def run(self, kernel, *args, grid, warmup, **meta):
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, compile

        options = {name: meta.pop(name) for name in ("num_warps", "num_stages") if name in meta}
        given = dict(zip(kernel.arg_names, args, strict=False)) | meta
        constants, signature, aligned = {}, {}, {}
        for place, param in enumerate(kernel.params):
            value = given[param.name]
            free = isinstance(value, int) and not param.do_not_specialize
            if param.is_constexpr or (free and value == 1):
                constants[param.name], signature[param.name] = value, "constexpr"
                continue
            signature[param.name] = type_of(value)
            if isinstance(value, torch.Tensor) or (free and value % 16 == 0):
                aligned[(place,)] = [["tt.divisibility", 16]]
        key = (kernel.fn.__name__, str(constants), str(signature), str(aligned), str(options))
        if key not in self.compiled:
            source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
            self.compiled[key] = compile(source, GPUTarget("cuda", 90, 32), options)


def type_of(value):
    if isinstance(value, torch.Tensor):
        return f"*{TYPES[value.dtype]}"
    return "fp32" if isinstance(value, float) else "i32"


@pytest.mark.parametrize("name", MODELS)
def test_kernels_compile_for_hopper(name, monkeypatch, tmp_path):
    from triton import knobs
    from triton.runtime.jit import JITFunction

    compiler = Compiler()
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    monkeypatch.setattr(choose, "_why_not", lambda *_: None)
    monkeypatch.setattr(JITFunction, "run", lambda kernel, *a, **k: compiler.run(kernel, *a, **k))
    model = cast(new_model(CASES[name]), MODELS[name])
    with torch.inference_mode(), unlaunched():
        make_calls(model)
    assert {"_route", "_add_norm"} & {key[0] for key in compiler.compiled}
    for kernel in compiler.compiled.values():
        assert kernel.asm["cubin"]
        assert kernel.metadata.shared <= 227 * 1024
