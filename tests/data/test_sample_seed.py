import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset

from mmcroc.data.sample_seed import SampleIndex, SeededSamples, seeded_generators


class Draws(SeededSamples, BaseDataset):
    """A data set whose samples are draws from all three global generators."""

    def __init__(self):
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [{}] * 8

    def prepare_data(self, idx):
        return draw()


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_index_is_an_int_and_survives_pickling():
    index = SampleIndex(5, seed=7, epoch=2)
    copy = pickle.loads(pickle.dumps(index))
    assert list(range(10))[copy] == 5
    assert (copy, copy.seed, copy.epoch) == (5, 7, 2)


@pytest.mark.parametrize('other', [(4, 7, 2), (5, 8, 2), (5, 7, 3)])
def test_sample_depends_on_index_seed_and_epoch(other):
    dataset = Draws()
    sample, changed = dataset[SampleIndex(5, 7, 2)], dataset[SampleIndex(*other)]
    assert all(a != b for a, b in zip(sample, changed, strict=True))


def test_sample_does_not_depend_on_history():
    dataset = Draws()
    sample = dataset[SampleIndex(5, 7, 2)]
    draw()
    dataset[SampleIndex(1, 0, 0)]
    assert dataset[SampleIndex(5, 7, 2)] == sample


def test_main_process_gets_its_generators_back_even_after_an_error():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    with pytest.raises(KeyError), seeded_generators(1, 2, 3):
        draw()
        raise KeyError
    assert draw() == expected


def test_plain_index_uses_the_global_generators():
    dataset = Draws()
    np.random.seed(3)  # noqa: NPY002
    sample = dataset[5]
    assert dataset[5] != sample
    np.random.seed(3)  # noqa: NPY002
    assert dataset[5][1] == sample[1]
