"""Every kernel that models launch is compiled for Hopper: the interpreter runs what Triton refuses.

No GPU is needed for that, only the compiler that Triton brings. What is generated is not run.
"""

from dataclasses import replace
from itertools import product

import pytest
import torch

from mom_eval.evalsuite.bench.presets import PRESETS
from mom_eval.kernels import (
    Joined,
    Routed,
    Rows,
    Taken,
    TimeStep,
    add_norm,
    add_norm_linear,
    add_norm_swiglu,
    choose,
    combine,
    combine_norm,
    delta_gates,
    dispatch,
    few_linear,
    grouped_linear,
    l2_norm,
    preferring,
    read_out_step,
    rms_norm,
    router,
    short_conv,
    swiglu,
    take,
)
from mom_eval.kernels.ahead import compiling, unlaunched
from mom_eval.models import FAMILIES, LM, cast
from mom_eval.models.ahead import make_calls
from tests.kernels.conftest import KINDS, but_slow, forget_kernels, gated_delta_case, make_step
from tests.models.shapes import CASES, new_model

pytest.importorskip("triton")
MODELS = {
    "gated_deltanet-4+shared": torch.bfloat16,
    "kda-4": torch.bfloat16,
    "mamba2-1": torch.float32,
    "hybrid": torch.bfloat16,
}
WIDE = [
    (256, torch.bfloat16, [kind for kind in KINDS if kind != "slot"]),
    pytest.param(512, torch.bfloat16, ["channel-delta"], marks=pytest.mark.slow),
    pytest.param(512, torch.float32, ["head-delta"], marks=pytest.mark.slow),
]
HALF_AND_FULL = [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)]
TYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
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

        names = ("num_warps", "num_stages", "maxnreg")
        options = {name: meta.pop(name) for name in names if name in meta}
        if "OVERLAP" in meta:
            # As on Hopper, which this machine may not have.
            meta["OVERLAP"], options["launch_pdl"] = True, True
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


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    from triton import knobs
    from triton.runtime.jit import JITFunction

    compiler = Compiler()
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    monkeypatch.setattr(choose, "_why_not", lambda *_: None)
    monkeypatch.setattr(JITFunction, "run", lambda kernel, *a, **k: compiler.run(kernel, *a, **k))
    return compiler


def check(compiled):
    for kernel in compiled.values():
        assert kernel.asm["cubin"]
        assert kernel.metadata.shared <= 227 * 1024


@pytest.mark.parametrize("name", but_slow(MODELS, ["kda-4", "hybrid"]))
def test_kernels_compile_for_hopper(name, compiler):
    model = cast(new_model(CASES[name]), MODELS[name])
    with torch.inference_mode(), unlaunched():
        make_calls(model)
        for slots in (1, 2):
            make_step(model, slots)
    names = {"_one_row", "_few_rows", "_add_norm", "_begin_step", "_most_probable"}
    names |= (
        {"_prepare_step", "_state_step", "_read_out", "_read_out_rows"}
        if "delta" in name
        else set()
    )
    assert names <= {key[0] for key in compiler.compiled}
    check(compiler.compiled)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gated_deltanet", PRESETS["mom-340m"].options),
        ("gla", FAMILIES["gla"].Options(num_heads=4, use_short_conv=True)),
    ],
    ids=["head", "channel"],
)
def test_a_mixture_of_memories_reads_with_twelve_kernels(family, options, compiler):
    """Few kernels are compiled at load; neither lengths nor counts make more of them."""
    config = replace(PRESETS["mom-340m"], num_layers=1, family=family, options=options)
    model = cast(LM(config), torch.bfloat16)
    with torch.inference_mode(), unlaunched():
        make_calls(model)
    assert len(compiler.compiled) == 12


@pytest.mark.parametrize(("K", "dtype", "kinds"), WIDE)
def test_one_long_prompt_compiles_for_hopper(K, dtype, kinds, compiler):
    """Wide states in parts: tiny models, which launch the same kernels, have narrow ones."""
    with torch.inference_mode(), unlaunched():
        for kind in kinds:
            case = gated_delta_case(kind, (2048,), "mild", (1, 2, K, 40))
            case.stream.update({name: case.stream[name].to(dtype) for name in ("q", "k", "v")})
            case.run("triton")
    assert {"carry", "merge", "scan"} < {key[0] for key in compiler.compiled}
    check(compiler.compiled)


@pytest.mark.parametrize(
    ("kind", "K", "dtype"),
    [
        ("head-delta", 256, torch.bfloat16),
        pytest.param("channel-delta", 128, torch.bfloat16, marks=pytest.mark.slow),
        pytest.param("head-delta", 128, torch.float32, marks=pytest.mark.slow),
        pytest.param("channel-delta", 128, torch.float32, marks=pytest.mark.slow),
    ],
)
def test_gradients_compile_for_hopper(kind, K, dtype, compiler):
    """The widest states that have one: they need most of the shared memory."""
    with unlaunched():
        case = gated_delta_case(kind, (130,), "mild", (1, 2, K, 40))
        case.stream.update({name: case.stream[name].to(dtype) for name in ("q", "k", "v")})
        case.gradients("triton")
    own = {"grad_states", "grad_gates"} if "channel" in kind else {"grad_head"}
    assert {"states", "slopes"} | own <= {key[0] for key in compiler.compiled}
    check(compiler.compiled)


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_gradients_around_the_recurrence_compile_for_hopper(compiler, dtype):
    """A layer of a Mixture-of-Memories: heads of 256, a hidden width of 1,024."""
    L, D, HV, V = 300, 1024, 4, 256
    x, y = (torch.ones(L, D, dtype=dtype, requires_grad=True) for _ in range(2))
    weight, norm = (torch.ones(n, dtype=dtype, requires_grad=True) for n in (D, V))
    A_log, bias = torch.ones(2, HV, requires_grad=True)
    with unlaunched():
        total, normed = add_norm(x.float(), y, weight, eps=1e-5)
        _, again = add_norm(x, y, weight, eps=1e-5)
        routes = router(normed, torch.ones(4, D, dtype=dtype, requires_grad=True), 2)
        gate, a, b = normed.view(L, HV, V), normed[:, :HV], normed[:, HV : 2 * HV]
        made = [total.sum(), *delta_gates(a, b, TimeStep(A_log, bias)), swiglu(again)]
        made.append(l2_norm(gate))
        for shared in (False, True):
            rows = dispatch(routes.memories, 4, shared=shared)
            o = torch.cat([normed, take(y, rows)])[-len(rows.token) :].view(-1, HV, V)
            made.append(combine(o, routes.weights, rows))
            for of in (None, gate):
                made.append(combine_norm(o, routes.weights, rows, None, norm, eps=1e-5, gate=of))
                made.append(rms_norm(o[:L], norm, eps=1e-5, gate=of, activation="sigmoid"))
        sum(part.float().sum() for part in made).backward()
    names = {"grad_norm", "grad_add_norm", "grad_combine", "grad_combine_norm", "sum_rows"}
    names |= {"grad_route", "_grad_swiglu", "_grad_delta_gates"}
    assert names <= {key[0] for key in compiler.compiled}
    check(compiler.compiled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_grouped_products_compile_for_hopper(dtype, compiler):
    """Of widths that 16 divides, 4 and nothing, and of one, a constant then; read as columns."""
    widths = [(132, 128), (2052, 1024), (1, 20), (20, 1)]
    # In bfloat16 such a product is torch's.
    widths += [] if dtype == torch.bfloat16 else [(256, 128)]
    ends = torch.tensor([9, 9, 40, 300], dtype=torch.int32)
    with unlaunched():
        for N, D in widths:
            x = torch.ones(300, D + 1, dtype=dtype, requires_grad=True)
            weight = torch.ones(4, N, D, dtype=dtype, requires_grad=True)
            grouped_linear(x[:, :D], weight, ends).sum().backward()
    assert {"_grouped", "_grad_weight"} == {key[0] for key in compiler.compiled}
    check(compiler.compiled)


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_gradients_of_the_convolution_compile_for_hopper(dtype, compiler):
    """Of a part by token and of two that are joined, with a ring that has one before and behind."""
    L, K, order = 8, 256, torch.arange(8)
    rows = Rows(order[:, None] + L, order.repeat(2), order[:2], order[:1].int(), L)
    read, sent = torch.ones(2, L, 3 * K + 8, dtype=dtype)
    q, *own = read[:, : 3 * K].split(K, 1)
    joined = [Joined(*pair) for pair in zip(own, sent[:, K : 3 * K].split(K, 1), strict=True)]
    weight = torch.ones(3 * K, 4, dtype=dtype, requires_grad=True)
    ring, seen = torch.ones(1, 4, 3 * K, dtype=dtype), torch.ones(1, dtype=torch.int64)
    with unlaunched(), preferring("triton"):
        for given in ({}, {"ring": ring.requires_grad_(), "seen": seen, "bias": weight[:, 0]}):
            y, kept = short_conv(
                [Taken(q, rows), *joined], weight, activation="silu", unit=[K, K, None], **given
            )
            of_ring = kept.sum() if given else 0
            (sum(part.sum() for part in y) + of_ring).backward()
    assert sum(key[0] == "conv_grad" for key in compiler.compiled) == 2
    check(compiler.compiled)


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_steps_of_many_slots_compile_for_hopper(compiler, dtype):
    """Wide heads of as many rows as a program holds, which need most of the shared memory."""
    M, HV, V, D = 4, 2, 256, 64
    norm, weight = torch.ones(V, dtype=dtype), torch.ones(D, HV * V, dtype=dtype)
    with torch.inference_mode(), unlaunched():
        for rows in (1, 2, 32, 64, 65):
            o, gate = torch.ones(3 * rows, HV, V, dtype=dtype), torch.ones(rows, HV, V, dtype=dtype)
            seen = torch.zeros(rows, M + 1, dtype=torch.int64)
            routed = Routed(torch.ones(rows, M), 2, torch.arange(rows), seen)
            y = read_out_step(o, weight, norm=norm, eps=1e-5, gate=gate, routed=routed)
            x, _ = add_norm_swiglu(
                y[0].to(dtype), y, torch.ones(D, dtype=dtype), weight.mT[:, :D], eps=1e-5
            )
            few_linear(x, torch.ones(40, D, dtype=dtype))
        # Loads of a deep product are under way at once, as far as there is room for them.
        for width, rows in product((2048, 4096), (33, 64)):
            deep = torch.ones(width, 2048, dtype=dtype)
            x = torch.ones(rows, 2048, dtype=dtype)
            add_norm_linear(x, None, torch.ones(2048, dtype=dtype), [deep], eps=1e-5)
            few_linear(x, deep)
    names = {"_read_out", "_read_out_rows", "_combine_step", "_one_row", "_few_rows", "_add_norm"}
    assert names | {"_swiglu", "_norm"} == {key[0] for key in compiler.compiled}
    check(compiler.compiled)


def test_wide_heads_that_find_no_room_are_read_out_apart(compiler):
    """Of float32 two parts of each operand are in shared memory."""
    o, weight = torch.ones(32, 2, 512), torch.ones(64, 1024)
    with torch.inference_mode(), unlaunched():
        read_out_step(o, weight, norm=None, eps=1e-5)
    assert {key[0] for key in compiler.compiled} == {"_combine_step", "_few_rows"}
    check(compiler.compiled)


class Driver:
    """Of a Hopper GPU that is not there: remembers what was asked to be launched."""

    def __init__(self):
        self.launchers = []
        self.utils = self

    def get_current_device(self):
        return 0

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    get_current_stream = get_device_properties = lambda self, _device: {"max_shared_mem": 1 << 20}

    def launcher_cls(self, source, _metadata):
        self.launchers.append(source.fn.__name__)
        return lambda *_: None

    def load_binary(self, *_):
        return object(), object(), 0, 0, 1024


def test_what_launches_is_made_with_what_is_launched(monkeypatch, tmp_path):
    """Triton compiles it where a kernel is first launched, each by itself, unless it is asked."""
    from triton import knobs
    from triton.runtime import driver

    compiled, fake = [], Driver()
    monkeypatch.setattr(driver, "_active", fake)
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    monkeypatch.setattr(
        knobs.runtime, "jit_post_compile_hook", lambda **what: compiled.append(what["repr"])
    )
    monkeypatch.setattr(choose, "_why_not", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    model = cast(new_model(CASES["gated_deltanet-1"]), torch.bfloat16)
    forget_kernels()
    with torch.inference_mode(), compiling():
        make_calls(model.shallow()[0])
    # What is compiled here cannot be launched.
    forget_kernels()
    assert len(compiled) > 5
    assert sorted(fake.launchers) == sorted(name.partition("[")[0] for name in compiled)
