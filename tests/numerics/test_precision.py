"""The float32 island."""

import pytest
import torch

from mmcroc.numerics.precision import full_float32, in_float32

MATMUL = torch.backends.cuda.matmul


def test_autocast_is_off_inside_and_on_again_after():
    x = torch.ones(2, 2)
    with torch.autocast('cpu', torch.bfloat16):
        with full_float32(x.device):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


@pytest.mark.filterwarnings('ignore')  # torch warns of autocast for a GPU that is not there
def test_tf32_is_off_inside_and_as_it_was_after():
    before = MATMUL.allow_tf32
    try:
        for allowed in (True, False):
            MATMUL.allow_tf32 = allowed
            with full_float32(torch.device('cuda')):
                if hasattr(MATMUL, 'fp32_precision'):
                    assert MATMUL.fp32_precision == 'ieee'
                else:
                    assert not MATMUL.allow_tf32
            assert MATMUL.allow_tf32 == allowed
    finally:
        MATMUL.allow_tf32 = before


def test_a_decorated_function_computes_in_float32_or_wider():
    @in_float32
    def product(a, b, power=1):
        return (a @ b) ** power

    with torch.autocast('cpu', torch.bfloat16):
        for dtype, want in (
            (torch.bfloat16, torch.float32),
            (torch.float32, torch.float32),
            (torch.float64, torch.float64),
            (torch.int64, torch.int64),
        ):
            x = torch.ones(2, 2, dtype=dtype)
            assert product(x, b=x, power=2).dtype == want
