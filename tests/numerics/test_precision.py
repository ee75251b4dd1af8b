"""The float32 island."""

import pytest
import torch

from mmcroc.numerics.precision import _TF32Product, full_float32, in_float32, product_with_rows
from tests.support.devices import ON_DEVICES

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


def test_gradients_of_the_tf32_product_are_the_products():
    x, rows = (torch.randn(n, 5, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    torch.testing.assert_close(_TF32Product.apply(x, rows), x @ rows.mT)
    assert torch.autograd.gradcheck(_TF32Product.apply, (x, rows))


@ON_DEVICES
def test_a_product_under_autocast_has_more_digits_than_autocasts_dtype(device):
    """A cosine of bfloat16 is off by up to 2e-3, one of TF32 factors by less than 1e-4."""
    generator = torch.Generator().manual_seed(0)
    x, rows = (
        torch.nn.functional.normalize(torch.randn(n, 256, generator=generator), dim=-1)
        for n in (64, 512)
    )
    want = x.double() @ rows.double().mT
    x, rows = (value.to(device).requires_grad_() for value in (x, rows))
    before = MATMUL.allow_tf32
    with torch.autocast(device, torch.bfloat16):
        found = product_with_rows(x, rows)
    found.square().sum().backward()
    assert found.dtype == torch.float32 and MATMUL.allow_tf32 == before
    torch.testing.assert_close(found.cpu().double(), want, atol=1e-4, rtol=0)
    gradient = 2 * want.mT @ x.detach().cpu().double()
    torch.testing.assert_close(rows.grad.cpu().double(), gradient, atol=5e-3, rtol=1e-2)
