"""The exact search of greatest inner products."""

import pytest
import torch
from torch.nn import functional as F

from mmcroc.numerics.inner_product_search import MemoryPart, Ranking, greatest_products
from tests.support.devices import ON_DEVICES


def drawn(queries=70, memory=1000, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        F.normalize(torch.randn(queries, dim, generator=generator), dim=1),
        F.normalize(torch.randn(memory, dim, generator=generator), dim=1),
    )


def brute(queries, memory, number):
    return (queries.double() @ memory.double().T).topk(min(number, len(memory)), dim=1)


@ON_DEVICES
@pytest.mark.parametrize('max_products', [None, 1, 70 * 32, 70 * 100])
@pytest.mark.parametrize('number', [1, 30])
def test_the_rows_found_are_those_of_brute_force_in_float64(number, max_products, device):
    queries, memory = (tensor.to(device) for tensor in drawn())
    want = brute(queries, memory, number)
    products, places = greatest_products(queries, memory, number, max_products=max_products)
    assert places.shape == (1, 70, number) and products.dtype == torch.float32
    assert torch.equal(places[0], want.indices)
    torch.testing.assert_close(products[0].double(), want.values, rtol=0, atol=1e-6)


def test_queries_are_searched_alike_in_whatever_company():
    """More queries than are taken at once."""
    queries, memory = drawn(queries=1100, memory=300)
    _, places = greatest_products(queries, memory, 7)
    assert torch.equal(places[0], brute(queries, memory, 7).indices)


@pytest.mark.parametrize('order', ['rising', 'falling'])
def test_a_sorted_memory_hides_nothing(order):
    """Each block is better than all before it, or none is."""
    queries, memory = drawn(queries=1)
    ranks = (memory @ queries[0]).argsort(descending=order == 'falling')
    _, places = greatest_products(queries, memory[ranks], 9, max_products=32)
    assert torch.equal(places[0], brute(queries, memory[ranks], 9).indices)


@ON_DEVICES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_rounding_alone(dtype, device):
    """Products of the rounded numbers, summed in float32."""
    queries, memory = (tensor.to(device, dtype) for tensor in drawn())
    want = brute(queries, memory, 5)
    products, places = greatest_products(queries, memory, 5)
    torch.testing.assert_close(products[0].double(), want.values, rtol=0, atol=1e-6)
    found = (queries.double()[:, None] * memory.double()[places[0]]).sum(2)
    torch.testing.assert_close(found, want.values, rtol=0, atol=1e-6)


@ON_DEVICES
def test_a_half_memory_and_float_queries(device):
    queries, memory = drawn()
    memory = memory.half()
    products, places = greatest_products(queries.to(device), memory, 5)
    want = brute(queries, memory, 5)
    assert torch.equal(places[0].cpu(), want.indices)
    torch.testing.assert_close(products[0].cpu().double(), want.values, rtol=0, atol=1e-6)


@ON_DEVICES
@pytest.mark.parametrize('max_products', [None, 70 * 32])
def test_several_searches_of_parts_are_those_of_their_rows(max_products, device):
    queries, memory = (tensor.to(device) for tensor in drawn())
    parts = [
        MemoryPart(0, 400, (0, 2)),
        MemoryPart(400, 410, (1, 2)),
        MemoryPart(410, 900, (0, 1, 2)),
    ]  # fmt: skip
    _, places = greatest_products(queries, memory, 8, parts, max_products)
    rows = [(*range(400), *range(410, 900)), range(400, 900), range(900)]
    for found, own in zip(places, rows, strict=True):
        own = torch.tensor(list(own), device=device)
        assert torch.equal(found, own[brute(queries, memory[own], 8).indices])


def test_fewer_rows_than_asked_for_are_all_found():
    queries, memory = drawn(memory=5)
    products, places = greatest_products(queries, memory, 8)
    assert torch.equal(places[0, :, :5], brute(queries, memory, 5).indices)
    assert (products[0, :, 5:] == -torch.inf).all() and (places[0, :, 5:] == 0).all()


def test_a_memory_mapped_from_a_file_is_searched(tmp_path):
    queries, memory = drawn()
    path = str(tmp_path / 'memory')
    mapped = torch.from_file(path, shared=True, size=memory.numel(), dtype=torch.float16)
    mapped = mapped.view(memory.shape).copy_(memory)
    _, places = greatest_products(queries, mapped, 5, max_products=70 * 64)
    assert torch.equal(places[0], brute(queries, mapped, 5).indices)


def test_what_does_not_fit_is_refused():
    queries, memory = drawn()
    with pytest.raises(ValueError, match='same model'):
        greatest_products(queries[:, :7], memory, 5)
    with pytest.raises(ValueError, match='at least 1 row'):
        greatest_products(queries, memory, 0)


@pytest.mark.parametrize('max_products', [7, 300, None])
def test_rows_factor_and_summand_rank_by_cosine_and_by_distance(max_products):
    generator = torch.Generator().manual_seed(3)
    queries = torch.randn(9, 5, generator=generator)
    memory = torch.randn(90, 5, generator=generator) + 1
    left_out = torch.zeros(90)
    left_out[::3] = -torch.inf
    exact, rows = queries.double(), memory.double()

    by_cosine = Ranking(factor=1 / memory.norm(dim=1))
    by_distance = Ranking(summand=left_out - memory.square().sum(1) / 2)
    settings = dict(max_products=max_products, rankings=[by_cosine])
    cosines, (places,) = greatest_products(queries, memory, 3, **settings)
    similarity = F.normalize(exact) @ F.normalize(rows).T
    assert torch.equal(places, similarity.topk(3).indices)
    assert torch.allclose(cosines[0].double() / exact.norm(dim=1, keepdim=True),
                          similarity.topk(3).values, atol=1e-6)  # fmt: skip

    settings = dict(max_products=max_products, rankings=[by_distance])
    _, (places,) = greatest_products(queries, memory, 6, **settings)
    distance = torch.cdist(exact, rows)
    distance[:, ::3] = torch.inf
    assert torch.equal(places, distance.topk(6, largest=False).indices)


@pytest.mark.parametrize('max_products', [7, 300, None])
def test_rankings_and_searches_that_share_products_find_what_each_finds_alone(max_products):
    generator = torch.Generator().manual_seed(4)
    queries = torch.randn(9, 5, generator=generator)
    memory = torch.randn(90, 5, generator=generator) + 1
    rankings = [
        Ranking(factor=1 / memory.norm(dim=1)),
        Ranking(),
        Ranking(1 / memory.norm(dim=1), -memory.square().sum(1)),
    ]
    parts = [MemoryPart(0, 40, [0]), MemoryPart(40, 90, [0, 1])]
    together = greatest_products(queries, memory, 4, parts, max_products, rankings)
    for number, ranking in enumerate(rankings):
        alone = greatest_products(queries, memory, 4, parts, max_products, [ranking])
        for whole, one in zip(together, alone, strict=True):
            assert torch.equal(whole[2 * number : 2 * number + 2], one)
