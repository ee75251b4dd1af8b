"""The released checkpoints' layout."""

import argparse

import pytest
import torch

from mmcroc.weights.key_map import UnknownKeysError
from mmcroc.weights.released_croc import convert_released_croc, convert_released_network
from tests.support.released_training import recorded_runner


@pytest.fixture
def released(fixtures_dir):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(fixtures_dir / 'croc_checkpoint_tiny.pth', weights_only=True)


@pytest.mark.parity
def test_every_weight_of_a_released_checkpoint_finds_its_place(released, fixtures_dir, tmp_path):
    runner, _ = recorded_runner(fixtures_dir / 'croc_training.npz', tmp_path)
    runner.model.load_state_dict(convert_released_croc(released), strict=True)


def test_foreign_keys_and_learned_gains_are_refused(released):
    state = dict(released['teacher'])
    with pytest.raises(UnknownKeysError, match=r'fc\.weight'):
        convert_released_network({**state, 'fc.weight': torch.zeros(1)})
    gain = 'head.last_layer.weight_g'
    with pytest.raises(ValueError, match='weight_g is not 1'):
        convert_released_network({**state, gain: 2 * state[gain]})
