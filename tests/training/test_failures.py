"""What ends a training from outside is told from what is wrong with it."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmcroc.training.failures import failure_from_outside


class Breaks:
    """Raises as it is received, as a tensor does whose sender is killed meanwhile."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return fail, (self.error,)


def fail(error):
    raise error


class Batches(Dataset):
    def __init__(self, error, reading):
        self.error, self.reading = error, reading

    def __len__(self):
        return 1

    def __getitem__(self, index):
        if self.reading:
            raise self.error
        return Breaks(self.error)


def error_of(error, *, reading, num_workers=1):
    """What a loader raises whose data set does, or whose worker breaks what it hands over."""
    loader = DataLoader(Batches(error, reading), num_workers=num_workers, collate_fn=list)
    with pytest.raises(type(error)) as raised:
        list(loader)
    return raised.value


RESET = ConnectionResetError(104, 'Connection reset by peer')


@pytest.mark.parametrize(
    ('error', 'says'), [(RESET, 'Connection reset by peer'), (EOFError(), 'no more comes from it')]
)
def test_a_worker_that_is_killed_as_it_hands_over_images_is_told_of(tmp_path, error, says):
    sentence = failure_from_outside(error_of(error, reading=False), str(tmp_path))
    assert sentence.startswith('DataLoader worker: ') and says in sentence
    assert sentence.endswith('lower train_dataloader.num_workers; then start again')


def test_what_other_code_makes_of_the_end_of_a_worker_is_seen_through(tmp_path):
    ended = 'DataLoader worker (pid 7) is killed by signal: Killed. '
    with pytest.raises(SyntaxError) as raised:
        try:
            raise RuntimeError(ended)
        except RuntimeError:
            raise SyntaxError('the config') from None  # as MMEngine, which formats its text
    assert failure_from_outside(raised.value, str(tmp_path)).startswith(ended[:-2])


@pytest.mark.parametrize('num_workers', [0, 1])
@pytest.mark.parametrize('error', [RESET, ValueError('pipeline'), RuntimeError('pipeline')])
def test_what_a_data_set_raises_does_not_come_from_outside(tmp_path, error, num_workers):
    raised = error_of(error, reading=True, num_workers=num_workers)
    assert failure_from_outside(raised, str(tmp_path)) is None


@pytest.mark.parametrize(
    'words',
    [
        'DataLoader worker (pid 7) is killed by signal: Killed. ',
        'DataLoader worker (pid(s) 7, 8) exited unexpectedly',
        'Pin memory thread exited unexpectedly',
    ],
)
def test_what_torch_says_of_workers_that_ended_is_known(tmp_path, words):
    torch.save({}, tmp_path / 'iter_3.pth')
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path}/iter_3.pth')
    sentence = failure_from_outside(RuntimeError(words), str(tmp_path))
    assert sentence.endswith(f'--resume goes on from {tmp_path}/iter_3.pth')
