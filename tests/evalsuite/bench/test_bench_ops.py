"""`bench op`: a wrong result is refused, ours and a peer's; errors are those of float64."""

from dataclasses import replace

import pytest
import torch

from mom_eval.errors import SettingError
from mom_eval.evalsuite.bench import check, ops, timing
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.ops import OPS, Shape, bench_ops
from mom_eval.kernels import gated_delta
from mom_eval.results.bench_check import markdown

SHAPE = (2, 70, 2, 8)


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Few calls, and small products and copies."""
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr("mom_eval.evalsuite.bench.rates._SIZES", {"cpu": (64, 1 << 16)})


@pytest.fixture
def machine():
    return Machine.of("cpu", "auto", "auto", 0)


def off(*names):
    """The op with an error of a thousandth in the variants that have these arguments."""

    def wrong(q, k, v, **given):
        o, states = gated_delta(q, k, v, **given)
        if given.get("impl") != "recurrent" and all(name in given for name in names):
            o = o * 1.001
        return o, states

    return wrong


def test_every_variant_is_timed():
    found = bench_ops([SHAPE])
    assert [row.work for row in found.rows] == list(OPS)
    for row in found.rows:
        assert (row.size, row.tokens) == ("2 x 70 x 2 x 8", 140)
        assert row.ours.ms is not None
        assert row.ours.ms > 0
        assert 0 < row.ours.error < 1e-6
        assert row.floor_ms > 0
        assert (row.peer, row.serial_ms) == (None, None)
    assert "--shape 2,70,2,8" in found.about["command"]


def test_a_wrong_op_is_refused(monkeypatch):
    monkeypatch.setattr(ops, "gated_delta", off("g", "beta"))
    with pytest.raises(SettingError, match=r"head-delta at .* is wrong on this machine.*1\.0e-03"):
        bench_ops([SHAPE])


def test_a_wrong_end_of_the_last_sequence_is_seen(machine):
    shape = Shape(*SHAPE)
    given = ops.inputs(OPS["head-delta"], shape, machine)
    truth = ops.Truth(given, shape)
    o, _ = gated_delta(**given)
    assert truth.error(o) < 1e-6
    o[-1] = torch.nan
    assert truth.error(o) == float("inf")


def peers(monkeypatch, of):
    """Stand-ins for a peer's op: variant -> what is done to our reads."""

    def peer_op(name, against, machine):
        def prepare(given, batch):
            return lambda: of(name, gated_delta(**given)[0].unflatten(0, (batch, -1)))

        return prepare if against else None

    monkeypatch.setattr(ops, "peer_op", peer_op)


def test_a_peer_is_timed_only_where_it_is_right(monkeypatch):
    def of(name, o):
        if name == "channel":
            raise RuntimeError("Triton 3.6 is refused\nat length")
        return o * 2 if name == "delta" else o

    peers(monkeypatch, of)
    rows = {row.work: row for row in bench_ops([SHAPE], against="fla").rows}
    assert rows["head"].peer.ms > 0
    assert rows["head"].peer_ratio == rows["head"].peer.ms / rows["head"].ours.ms
    assert replace(rows["delta"].peer, error=None).note == "wrong here"
    assert (rows["delta"].peer.ms, rows["delta"].peer_ratio) == (None, None)
    assert rows["delta"].peer.error == pytest.approx(1.0, abs=1e-3)
    assert rows["channel"].peer.note == "fails here: Triton 3.6 is refused"
    assert rows["channel"].peer.shown == "fails here"


SMALL = {"lengths": (1, 63, 0, 65), "long": 70, "sizes": ((6, 5),)}


def test_the_check_passes():
    found = check.check_ops([(1, 9, 1, 7)], device="cpu", dtype="float32", **SMALL)
    found.verify()
    assert found.about["command"].endswith("--seed 0 --shape 1,9,1,7")
    assert {(row.K, row.V) for row in found.rows} == {(6, 5), (7, 7)}
    assert {(row.op, row.inputs) for row in found.rows} >= {
        ("head-delta", "mild"),
        ("head-delta", "alike"),
        ("channel-delta", "g = -50"),
        ("delta", "beta to 2"),
        ("plain", "mild"),
    }
    assert all(0 < row.error < 1e-5 for row in found.rows)
    assert {name for row in found.rows for name in row.errors} == {
        "o", "states", "q", "k", "v", "g", "beta", "state"
    }  # fmt: skip
    assert markdown(found).count("right |") == 4 * len(OPS)


def test_the_check_sees_one_wrong_segment(monkeypatch):
    """The third real one of the channel gate, by a thousandth; and what is no number."""

    def wrong(q, k, v, **given):
        o, states = gated_delta(q, k, v, **given)
        truth = q.requires_grad or given["impl"] == "recurrent"
        if not truth and given.get("g", v[..., 0]).ndim == 3:
            o[64:129] *= 1.001
            if "beta" in given:
                states[2, 0, 0, 0] = torch.nan
        return o, states

    monkeypatch.setattr(check, "gated_delta", wrong)
    found = check.check_ops(device="cpu", dtype="float32", **SMALL)
    assert {row.op for row in found.rows if not row.right} == {"channel", "channel-delta"}
    channel = next(row for row in found.rows if row.op == "channel")
    assert channel.errors["o"] == pytest.approx(1e-3, rel=0.01)
    with pytest.raises(SettingError, match=r"7 of 38 .* channel-delta at K = 6, .*, forward"):
        found.verify()


def test_the_check_sees_a_wrong_gradient(monkeypatch):
    """Of beta, by a thousandth."""

    def wrong(q, k, v, **given):
        if given["impl"] != "chunked" and "beta" in given and q.requires_grad:
            given["beta"].register_hook(lambda grad: 1.001 * grad)
        return gated_delta(q, k, v, **given)

    monkeypatch.setattr(check, "gated_delta", wrong)
    found = check.check_ops(device="cpu", dtype="float32", **SMALL)
    assert {(row.op, row.what) for row in found.rows if not row.right} == {
        (name, "gradients") for name, op in OPS.items() if op.delta
    }
    with pytest.raises(SettingError, match="float32, gradients"):
        found.verify()


def test_the_check_sees_a_run_that_does_not_repeat(monkeypatch):
    calls = []

    def wrong(q, k, v, **given):
        o, states = gated_delta(q, k, v, **given)
        calls.append(0)
        return o * (1 + 1e-6 * len(calls)), states

    monkeypatch.setattr(check, "gated_delta", wrong)
    found = check.check_ops(device="cpu", dtype="float32", **SMALL)
    assert not any(row.repeats for row in found.rows)
    assert "*" in markdown(found)
    with pytest.raises(SettingError, match="38 of 38"):
        found.verify()


def test_peak_memory_is_that_of_the_call(machine):
    """Not of one before it, which took 64 MiB more."""
    if timing.timed(lambda: None, machine).peak_bytes is None:
        pytest.skip("this system does not tell")
    large = timing.timed(lambda: torch.ones(64 << 20, dtype=torch.int8), machine)
    small = timing.timed(lambda: torch.ones(1), machine)
    assert large.peak_bytes - small.peak_bytes > 48 << 20


def test_running_out_of_memory_is_a_result(machine):
    found = timing.measured(lambda: lambda: torch.empty(1 << 60), machine)
    assert (found.ms, found.note) == (None, "out of memory")
    with pytest.raises(ZeroDivisionError):
        timing.measured(lambda: lambda: 1 / 0, machine)
