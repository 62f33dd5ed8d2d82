"""Where tokens lie; what ops refuse is tested with each op."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mom_eval.kernels.shapes import compute_dtype, segment_of


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_segment_of(lengths):
    segments = torch.tensor([0, *lengths]).cumsum(0)
    expected = [n for n, length in enumerate(lengths) for _ in range(length)]
    assert segment_of(segments, sum(lengths)).tolist() == expected


def test_low_types_are_computed_in_float32():
    wide = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
    wide |= {torch.float32: torch.float32, torch.float64: torch.float64}
    for dtype, expected in wide.items():
        assert compute_dtype(torch.empty(0, dtype=dtype)) == expected
