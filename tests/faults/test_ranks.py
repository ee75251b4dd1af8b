"""Trainings of two processes of which one is lost, or that are told to end."""

import os
import signal
import socket

import pytest

from tests.support.faults import same_state, start, state_of

CAMPAIGN = pytest.mark.campaign


def two_ranks(work_dir, *options, **faults):
    """Start both processes of a training, as a launcher does."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    env = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    return [
        start(
            work_dir, 'train_dataloader.batch_size=1', *options, words=['--launcher', 'pytorch'],
            env=dict(env, RANK=str(rank), LOCAL_RANK=str(rank)), **faults,
        )
        for rank in (0, 1)
    ]  # fmt: skip


@pytest.mark.parametrize('lost', [1, pytest.param(0, marks=CAMPAIGN)])
def test_the_other_rank_of_a_killed_one_ends_in_a_sentence(tmp_path, lost):
    ranks = two_ranks(tmp_path / 'run', kill_rank_at=3, rank=lost)
    assert ranks[lost].end()[0] == -9
    code, printed = ranks[1 - lost].end()
    assert code == 1 and 'Traceback' not in printed, printed
    said = printed.strip().splitlines()[-1]
    assert 'another process of this training ended or hangs; see what it said last;' in said
    assert said.endswith(f'--resume goes on from {tmp_path}/run/iter_3.pth')


def test_the_other_rank_of_a_stalled_one_ends_within_the_set_time(tmp_path):
    ranks = two_ranks(tmp_path / 'run', 'env_cfg.dist_cfg.timeout=6', stall_rank_at=3, rank=1)
    code, printed = ranks[0].end()
    os.kill(ranks[1].pid, signal.SIGKILL)
    assert ranks[1].end()[0] == -9
    assert code == 1 and 'Traceback' not in printed, printed
    said = printed.strip().splitlines()[-1]
    assert said.startswith('Timed out waiting 6000ms') and 'ended or hangs' in said


@CAMPAIGN
def test_two_ranks_told_to_end_write_a_checkpoint_and_resume_bit_for_bit(tmp_path):
    for rank in two_ranks(tmp_path / 'straight'):
        assert rank.end()[0] == 0
    for rank in two_ranks(tmp_path / 'run', signal_at=3):
        code, printed = rank.end()
        assert code == 75, printed
    for rank in two_ranks(tmp_path / 'run', resume=True):
        assert rank.end()[0] == 0
    assert same_state(state_of(tmp_path / 'run'), state_of(tmp_path / 'straight'))
