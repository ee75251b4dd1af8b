"""Random numbers that are a function of (seed, stream, index) and of nothing else.

A stateful generator gives a token another number when the tokens are split over ranks or chunks
in another way. Here number ``index`` of stream ``stream`` is a hash of the three, so a draw over
all tokens of a data set does not depend on who holds which token.

Reference: Steele, Lea, Flood, *Fast splittable pseudorandom number generators* (SplitMix64),
OOPSLA 2014; Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
"""

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def _signed(number: int) -> int:
    """A 64-bit pattern as the signed integer that torch.int64 holds."""
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


def _xor_shift(bits: Tensor, shift: int) -> Tensor:
    """Bits xor themselves, shifted to the right as unsigned numbers."""
    # torch shifts int64 arithmetically: mask the copies of the sign bit.
    return bits ^ ((bits >> shift) & ((1 << (64 - shift)) - 1))


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser."""
    bits = _xor_shift(bits, 30) * _signed(0xBF58476D1CE4E5B9)
    bits = _xor_shift(bits, 27) * _signed(0x94D049BB133111EB)
    return _xor_shift(bits, 31)


def counter_uniform(index: Tensor, seed: int, stream: int = 0) -> Tensor:
    """Hash counters, int64 of any shape, to uniform numbers, float64 in (0, 1), never 0 or 1.

    Sequences of one seed, told apart by ``stream``, are independent.
    """
    key = _mix(torch.tensor(_signed(seed * _GOLDEN_GAMMA), device=index.device))
    key = _mix(key + _signed((stream + 1) * _GOLDEN_GAMMA))
    bits = _mix(_mix(index * _signed(_GOLDEN_GAMMA) + key))
    # The upper 52 bits: with a half added, exact in float64 and inside the open interval.
    return (((bits >> 12) & ((1 << 52) - 1)).double() + 0.5) * 2.0**-52
