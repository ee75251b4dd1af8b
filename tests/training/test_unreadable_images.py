import logging
from types import SimpleNamespace

import pytest
from mmpretrain.structures import DataSample

from mmcroc.registry import HOOKS
from mmcroc.training import data_checks
from mmcroc.training.data_checks import UnreadableImagesHook


@pytest.fixture
def runner(caplog):
    caplog.set_level(logging.INFO)
    return SimpleNamespace(logger=logging.getLogger('unreadable'))


def batch(*paths):
    """A batch whose samples met these files, one each, and a sample that met none."""
    notes = [((path, 'truncated'),) for path in paths] + [()]
    return dict(data_samples=[DataSample(metainfo=dict(unreadable=note)) for note in notes])


def feed(hook, runner, *paths):
    hook.before_train_iter(runner, 0, batch(*paths))


def test_each_file_is_warned_of_once(runner, caplog):
    hook = HOOKS.build(dict(type='mmcroc.UnreadableImagesHook'))
    feed(hook, runner, 'a.jpg')
    feed(hook, runner, 'a.jpg', 'b.jpg')
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert caplog.messages == [
        'Unreadable image a.jpg: truncated',
        'Unreadable image b.jpg: truncated',
    ]


def test_run_stops_beyond_the_limit_and_lists_the_files(runner):
    hook = UnreadableImagesHook(max_unreadable=2)
    feed(hook, runner, 'a.jpg', 'b.jpg')
    feed(hook, runner, 'a.jpg', 'b.jpg')
    with pytest.raises(
        RuntimeError, match=r'(?s)3 images.*max_unreadable=2.*a\.jpg: trunc.*c\.jpg'
    ):
        feed(hook, runner, 'c.jpg')


def test_limit_zero_stops_at_the_first_file(runner):
    hook = UnreadableImagesHook(max_unreadable=0)
    feed(hook, runner)
    with pytest.raises(RuntimeError, match='1 images'):
        feed(hook, runner, 'a.jpg')


def test_files_of_all_ranks_count_at_the_end_of_an_epoch(runner, monkeypatch):
    hook = UnreadableImagesHook(max_unreadable=3)
    feed(hook, runner, 'a.jpg', 'b.jpg')
    hook.after_train_epoch(runner)  # a single rank
    others = [{'a.jpg': 'truncated', 'c.jpg': 'empty'}, {'d.jpg': 'empty'}]
    monkeypatch.setattr(data_checks, 'all_gather_object', lambda own: [own, *others])
    with pytest.raises(RuntimeError, match=r'(?s)4 images.*d\.jpg: empty'):
        hook.after_train_epoch(runner)


def test_training_ends_with_one_line(runner, caplog):
    hook = UnreadableImagesHook()
    hook.after_train(runner)
    feed(hook, runner, 'b.jpg', 'a.jpg')
    caplog.clear()
    hook.after_train(runner)
    (message,) = caplog.messages
    assert '2 images' in message and 'a.jpg, b.jpg' in message


@pytest.mark.parametrize('data', [None, dict(inputs=None), dict(data_samples=[DataSample()])])
def test_batches_without_notes_are_fine(runner, data):
    UnreadableImagesHook(0).before_train_iter(runner, 0, data)


def test_negative_limit_is_refused():
    with pytest.raises(ValueError, match='max_unreadable'):
        UnreadableImagesHook(-1)
