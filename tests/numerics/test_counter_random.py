import torch
from scipy import stats

from mmcroc.numerics.counter_random import counter_uniform


def test_numbers_are_uniform_and_streams_independent():
    index = torch.arange(100_000)
    first, second = (counter_uniform(index, seed=0, stream=stream) for stream in (0, 1))
    for numbers in (first, second, counter_uniform(index, seed=1), counter_uniform(index, seed=2)):
        assert stats.kstest(numbers.numpy(), 'uniform').pvalue > 1e-3
        assert numbers.min() > 0
        assert numbers.max() < 1
    for other in (first.roll(1), second, counter_uniform(index, seed=1)):
        assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.02


def test_a_number_depends_on_its_index_only():
    index = torch.arange(1000)
    whole = counter_uniform(index, seed=7, stream=3)
    assert torch.equal(whole[100:200], counter_uniform(index[100:200], seed=7, stream=3))
    assert len(whole.unique()) == 1000


def test_numbers_stay_as_they_are():
    # A change here changes every random start in published results.
    numbers = counter_uniform(torch.tensor([0, 1, 10**12]), seed=0)
    assert (numbers * 1e6).long().tolist() == [203102, 705485, 169241]
