"""Sizes of grids and blocks on the host: a launch asks for several, and a GPU waits meanwhile.

Triton's own functions of these names are made for kernels too, and cost 2 us a call here.
"""


def cdiv(a: int, b: int) -> int:
    """How many blocks of b hold a."""
    return -(-a // b)


def power_of_2(n: int) -> int:
    """The least power of 2 that is not below n, 1 at least."""
    return 1 << max(n - 1, 0).bit_length()
