"""What Triton kernels of one token a slot must give; `test_triton` runs this by itself."""

import pytest
import torch

from mom_eval.kernels import (
    Late,
    Own,
    Routed,
    TimeStep,
    add_norm_linear,
    add_norm_swiglu,
    begin_step,
    conv_delta_step,
    count_up,
    few_linear,
    most_probable,
    preferring,
    read_out_step,
    settled,
)
from mom_eval.kernels.late import EVERY
from tests.kernels.triton_cases import DEVICE, in_triton_and_torch, poison


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("writers", [True, False])
@pytest.mark.parametrize("gate", ["head-delta", "channel-delta", "none", "soft"])
def test_a_mixer_step_is_one_token_in_place(relative, gate, writers, shared):
    """Four rows of which one is nobody's: two of three memories each, and one that all share."""
    R, S, M, H, HV, K, V, W = 4, 6, 3, 2, 4, 20, 36, 4
    C = 2 * H * K + HV * V
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    slots = torch.tensor([4, -1, 0, 2], device=DEVICE)
    soft = TimeStep(draw(HV), draw(HV), 2.0) if gate == "soft" else None

    def columns(rows):
        k, v, _ = draw(rows, H * K + HV * V + 5).split([H * K, HV * V, 5], -1)
        head, channel = -draw(rows, HV).abs(), -draw(rows, HV, K).abs()
        g = {"none": None, "channel-delta": channel}.get(gate, head)
        return Own(k, v, g, None if gate == "none" else draw(rows, HV).sigmoid())

    for routed in (True, False):
        lead, times = (S,), torch.randint(0, 9, (R,), device=DEVICE)
        given = {"soft": soft, "bias": draw(C), "slots": slots, "times": times}
        if routed:
            lead = (S, M + shared)
            seen = torch.randint(0, 9, lead, device=DEVICE)
            given |= {"times": None, "slots": None, "routed": Routed(draw(R, M), 2, slots, seen)}
            given["own"] = columns(R) if shared else None
        kept, ring_before = draw(*lead, HV, K, V), draw(*lead, W, C)
        k, v, given["g"], given["beta"] = columns(R * M if writers and routed else R)
        q, weight = draw(R, H * K), draw(C, W)
        out = []
        for kernels in ("triton", "torch"):
            state, ring = kept.clone(), ring_before.clone()
            poison()
            with preferring(kernels):
                o = conv_delta_step(
                    q, k, v, weight, ring=ring, state=state, activation="silu", **given
                )
            real = slots >= 0
            if routed:
                real = torch.cat([real] * shared + [real.repeat_interleave(2)])
            out.append(torch.cat([x.flatten() for x in (o[real], state[:5], ring[:5])]))
        assert relative(*out) < 1e-5


@pytest.mark.parametrize(
    ("gate", "memories"),
    [
        *(("head", 0), ("channel", 0), ("none", 0), ("head", 3)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("channel", 2), ("none", 3))),
    ],
)
def test_states_are_written_at_every_eighth_token(relative, gate, memories):
    """And what is read is what it would be, were they written at once; torch may go on.

    Of three memories the first is shared, and the others have writers of their own.
    """
    S, H, HV, K, V, W, shared = 4, 2, 4, 20, 36, 2, memories == 3
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    slots, C = torch.tensor([2, -1, 0], device=DEVICE), 2 * H * K + HV * V
    lead, rest = ((S, memories), memories - shared) if memories else ((S,), 1)
    kept, rings, weight = draw(*lead, HV, K, V), draw(*lead, W, C), draw(C, W)
    seen, writers = torch.randint(0, 20, lead, device=DEVICE), rest if shared else 1
    late = Late.zero(kept, H, channels=gate == "channel", decays=gate != "none")
    at_once, waits = (kept.clone(), rings.clone(), seen.clone()), (kept.clone(), rings, seen)
    rows = torch.arange(kept[..., 0, 0, 0].numel(), device=DEVICE)

    def sent(n):
        g = {"head": -draw(n, HV).abs(), "channel": -draw(n, HV, K).abs()}.get(gate)
        return Own(draw(n, H * K), draw(n, HV * V), g, None if g is None else 2 * draw(n, HV))

    for step in range(2 * EVERY + 3):
        q, logits, own, (k, v, g, beta) = draw(3, H * K), draw(3, rest), sent(3), sent(3 * writers)
        out, before, had = [], waits[0].clone(), waits[2].clone()
        for (state, ring, times), beside in ((at_once, None), (waits, late)):
            where = {"slots": slots, "times": times[slots]}
            if memories:
                where = {"routed": Routed(logits, 1, slots, times), "own": own if shared else None}
            with preferring("torch" if beside is None or step == EVERY + 1 else "triton"):
                o = conv_delta_step(
                    q, k, v, weight, ring=ring, state=state, late=beside, g=g, beta=beta, **where
                )
            if memories:
                count_up(where["routed"])
            else:
                times[slots] += 1
            out.append(o[(slots >= 0).repeat(1 + shared)])
        assert relative(out[1], out[0]) < 1e-5
        if step != EVERY + 1:
            due = (waits[2] > had).flatten() & (late.waiting(rows, had.flatten()) == EVERY - 1)
            due[-max(memories, 1) :] = False
            assert torch.equal((waits[0] != before).flatten(len(lead)).any(-1).flatten(), due)
    state, whole = (x.flatten(0, 1) if memories else x for x in (waits[0], at_once[0]))
    count = late.waiting(rows, waits[2].flatten())
    found = settled(state, late.flat() if memories else late, count)
    real = slice(0, (S - 1) * max(memories, 1))
    assert relative(found[real], whole[real]) < 1e-5
    assert torch.equal(waits[0][1], kept[1])


KINDS, SIZES = ("none", "routed", "shared"), ((1, 20, 50), (4, 20, 50), (70, 20, 50), (33, 300, 50))
READ_OUTS = [
    *((one, *size) for one in KINDS for size in SIZES),
    *(pytest.param(one, 5, 20, 1920, marks=pytest.mark.slow) for one in KINDS),
]


@pytest.mark.parametrize(("memories", "rows", "V", "D"), READ_OUTS)
def test_a_read_out_step_weighs_normalises_and_counts(relative, memories, rows, V, D):
    """Parts of one head and of two; also more rows, and wider ones, than a program holds.

    The gate is columns of a wider product.
    """
    HV, M, S = 3, 5, 80
    slots = torch.randperm(S - 1)[:rows].to(DEVICE)
    slots[rows // 2 + 1 : rows // 2 + 2] = -1
    shared = memories == "shared"
    before = torch.randint(0, 9, (S, M + shared), device=DEVICE)
    reads = 1 if memories == "none" else 2 + shared
    o, gate = (torch.randn(*s, device=DEVICE) for s in ((reads * rows, HV, V), (rows, HV * V + 8)))
    gate, logits = gate[:, 8:].unflatten(-1, (HV, V)), torch.randn(rows, M, device=DEVICE)
    weight, norm = torch.randn(D, HV * V, device=DEVICE), torch.randn(V, device=DEVICE)
    real = slots >= 0
    for given in (
        {"norm": norm, "gate": gate, "activation": "sigmoid"},
        {"norm": None, "gate": gate},
        {"norm": norm},
    ):
        out = []
        for kernels in ("triton", "torch"):
            seen = before.clone()
            routed = None if memories == "none" else Routed(logits, 2, slots, seen)
            poison()
            with preferring(kernels):
                y = read_out_step(o, weight, eps=1e-5, routed=routed, **given)
            out.append((y.sum(0)[real], seen[:-1]))
        assert relative(out[0][0], out[1][0]) < 1e-5
        assert torch.equal(out[0][1], out[1][1])
        counted = 0 if memories == "none" else int(real.sum()) * (2 + shared)
        assert out[0][1].sum() == before[:-1].sum() + counted


def test_a_read_out_step_of_half_precision(relative):
    """Float16, which the interpreter multiplies as it is."""
    o, gate = torch.randn(2, 4, 3, 20, device=DEVICE).half()
    weight, norm = (torch.randn(*s, device=DEVICE).half() for s in ((50, 60), (20,)))
    found, truth = (
        read_out_step(o.to(t), weight.to(t), norm=norm.to(t), eps=1e-5, gate=gate.to(t)).sum(0)
        for t in (torch.float16, torch.float64)
    )
    assert found.dtype == torch.float32
    assert relative(found, truth) < 2e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_begins_with_vectors_and_times(dtype):
    """Tokens are counted, but those of nobody."""
    embeddings = torch.randn(50, 20, device=DEVICE).to(dtype)
    tokens, slots = (torch.tensor(x, device=DEVICE) for x in ([4, 49, 4, 0], [2, -1, 0, -1]))
    out = []
    for kernels in ("triton", "torch"):
        seen = torch.tensor([7, 1, 2**33, 9, 0], device=DEVICE)
        poison()
        with preferring(kernels):
            x, times = begin_step(tokens, slots, embeddings, seen)
        assert torch.equal(x, embeddings[tokens])
        assert times.tolist() == [2**33, 0, 7, 0]
        out.append(seen.tolist())
    assert out == [[8, 1, 2**33 + 1, 9, 0]] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [1, 300, 20_000])
def test_the_most_probable_token_is_the_first_of_the_largest(vocabulary, dtype):
    """Of 20,000 in several blocks. What is no number counts as an infinity."""
    logits = torch.randn(6, vocabulary, device=DEVICE).to(dtype)
    logits[1, vocabulary // 2 :] = 9
    logits[2, -1] = float("nan")
    logits[3] = -float("inf")
    logits[4] = 0
    with preferring("triton"):
        found = most_probable(logits).tolist()
    assert found == [
        row.tolist().index(row.max()) if row.max() == row.max() else vocabulary - 1
        for row in logits
    ]
    assert found[1:5] == [vocabulary // 2, vocabulary - 1, 0, 0]


@pytest.mark.parametrize("rows", [0, 1, 5, 33, 70])
def test_products_of_few_rows(relative, rows):
    """With all that is done around them; depths that fill no block, streams of another type."""
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    D, norm = 150, draw(150)
    first, second, router = draw(70, D), draw(33, D), draw(5, D)
    x, y = draw(rows, D).to(torch.float16), draw(rows, D)

    def run():
        total, products = add_norm_linear(x, y, norm, [first, second], eps=1e-5, router=router)
        _, alone = add_norm_linear(y, None, norm, [first], eps=1e-5)
        other, gated = add_norm_swiglu(x, y, norm, first, eps=1e-5)
        plain = few_linear(y, second).sum(0)
        return total, *products, *alone, other, gated, plain

    if rows:
        assert in_triton_and_torch(run, relative) < 1e-5
    else:
        with preferring("triton"):
            assert all(len(one) == 0 for one in run())


@pytest.mark.parametrize("rows", [1, 3, 33, 70])
def test_a_deep_product_comes_in_parts_that_a_sum_adds(relative, rows):
    """Parts of a depth that they do not divide; one alone of a single row, and of many."""
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    deep, weight, norm, out = draw(rows, 1100), draw(70, 1100), draw(70), draw(20, 70)
    x = draw(rows, 70)

    def run():
        y = few_linear(deep, weight)
        total, products = add_norm_linear(x, y, norm, [out], eps=1e-5)
        return total, *products, *add_norm_swiglu(x, y, norm, out, eps=1e-5)

    assert in_triton_and_torch(run, relative) < 1e-5
    with preferring("triton"):
        assert len(few_linear(deep, weight)) == (4 if rows in (3, 33) else 1)


def test_a_step_takes_what_belongs_together():
    """In Triton too, which would read behind what is too small."""
    R, M, H, K = 2, 3, 1, 16
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    slots, seen = (
        torch.arange(R, device=DEVICE),
        torch.zeros(4, M, dtype=torch.int64, device=DEVICE),
    )
    kept = {"ring": draw(4, M, 2, 3 * K), "state": draw(4, M, H, K, K)}
    routed, weight = Routed(draw(R, M), 2, slots, seen), draw(3 * K, 2)
    gates, waits = {"g": draw(R, H), "beta": draw(R, H)}, Late.zero(kept["state"], H)
    soft, turned = TimeStep(draw(H), draw(H)), waits.u.transpose(0, 1).contiguous().transpose(0, 1)
    apart = torch.zeros(M, 4, dtype=torch.int64, device=DEVICE).mT
    for change, match in (
        ({"routed": Routed(routed.logits, 4, slots, seen)}, "top_k must be 1 to M = 3"),
        ({"routed": Routed(routed.logits, 0, slots, seen)}, "top_k must be 1 to M = 3"),
        ({"routed": Routed(routed.logits, 2, slots, apart)}, "seen must be contiguous"),
        ({"slots": slots, "times": slots}, "give them, or routed"),
        ({"routed": None}, "give them, or routed"),
        ({"g": None, "soft": soft}, "soft is what makes"),
        ({"g": draw(R - 1, H)}, "axis RM of g"),
        ({"beta": draw(R, H + 1)}, "axis HV of beta"),
        ({"own": Own(draw(R, K), draw(R, K), None, None)}, "own is what is written"),
        ({"late": Late.zero(kept["state"], H, channels=True)}, "must be of the form of g"),
        ({"late": Late.zero(kept["state"], H, decays=False)}, "must be of the form of g"),
        ({"late": Late.zero(kept["state"], 2 * H)}, "axis H of late.k"),
        ({"late": Late.zero(kept["state"][1:], H)}, "axis S of late.k"),
        ({"late": waits._replace(u=turned)}, "waits must be contiguous"),
        ({"late": Late.zero(kept["state"], H, every=6)}, "axis E of late.k must be a power of 2"),
    ):
        given = {"routed": routed} | gates | change
        for kernels in ("triton", "torch"):
            with preferring(kernels), pytest.raises(ValueError, match=match):
                conv_delta_step(draw(R, K), draw(R, K), draw(R, K), weight, **kept, **given)
    o, weight = draw(2 * R, H, K), draw(4, K)
    for kernels in ("triton", "torch"):
        for one, match in (
            (Routed(routed.logits, 2, slots, apart), "seen must be contiguous"),
            (Routed(routed.logits, 1, slots, seen), "axis R of o must be 2 for 2 tokens"),
        ):
            with preferring(kernels), pytest.raises(ValueError, match=match):
                read_out_step(o, weight, norm=None, eps=1e-5, routed=one)


def test_weights_may_lie_apart(relative):
    """Then they are copied, and no kernel begins before the copy is there."""
    draw = lambda *shape: torch.randn(*shape, device=DEVICE)  # noqa: E731
    for rows in (1, 3):
        x, norm, first, router = draw(rows, 40), draw(80)[::2], draw(40, 20).mT, draw(40, 5).mT
        run = lambda x=x, n=norm, w=first, r=router: (  # noqa: E731
            lambda total, products: (total, *products)
        )(*add_norm_linear(x, x, n, [w], eps=1e-5, router=r))
        assert in_triton_and_torch(run, relative) < 1e-5
