"""mmcroc.evaluate: what failed is named, what is known is not computed again."""

import json
import os

import pytest
from torch import nn

import mmcroc
from mmcroc.evaluation.data_sets import OwnImages
from mmcroc.evaluation.report import Report
from tests.support.own_images import FEW, TinyNet, draw_own


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    return OwnImages(*draw_own(tmp_path_factory.mktemp('own')), val_fraction=0.5)


def test_what_fails_is_named_and_the_others_go_on(own, tmp_path):
    few = dict(FEW, work_dir=tmp_path)
    report = mmcroc.evaluate(['nowhere.pth', 'rgb'], ['clustering', 'overclustering-leopart'],
                             own, **few)  # fmt: skip
    failed = {(one['model'], one['protocol']) for one in report.failures}
    assert failed == {
        ('nowhere.pth', 'clustering*'), ('nowhere.pth', 'overclustering-leopart*'),
        ('rgb', 'overclustering-leopart*'),
    }  # fmt: skip
    assert 'mIoU' in report['rgb', 'clustering*']['metrics']
    table = report.table()
    assert (
        'Failed: rgb overclustering-leopart*: overclustering-leopart*: 500 clusters from' in table
    )
    assert 'Failed: nowhere.pth clustering*, nowhere.pth overclustering-leopart*: ' in table
    saved = Report.load(tmp_path / 'results.json')
    assert len(saved.failures) == 3
    again = mmcroc.evaluate(['nowhere.pth', 'rgb'], 'clustering', own, **few)
    assert [result.get('reused') for result in again.results] == [None, True]  # failed: once more
    with pytest.raises(ValueError, match='500 clusters from'):  # there is nothing to report
        mmcroc.evaluate('rgb', 'overclustering-leopart', own, **FEW)


def test_a_protocol_that_cannot_be_costs_the_others_no_pass_of_their_own(own):
    TinyNet.calls = 0
    several = ['clustering', 'linear-ridge', 'linear-cached']
    report = mmcroc.evaluate(TinyNet(), several, own, **dict(FEW, val_images=2))
    (failed,) = report.failures
    assert failed['protocol'] == 'linear-cached*'
    assert 'a batch of 120 images cannot be drawn from 4 training images' in failed['error']
    # A batch of scored images, one of training images; and the latter before the failure.
    assert TinyNet.calls == 2 + 2


def test_what_is_known_is_not_computed_again(own, tmp_path):
    TinyNet.calls = 0
    few = dict(FEW, work_dir=tmp_path)
    first = mmcroc.evaluate(TinyNet(), 'clustering', own, **few)
    calls = TinyNet.calls
    again = mmcroc.evaluate(TinyNet(), 'clustering', own, **few)
    assert TinyNet.calls == calls
    place = 'TinyNet', 'clustering*'
    assert again[place] == dict(first[place], reused=True)
    assert 'Computed before, from results.json: TinyNet clustering*' in again.table()
    mmcroc.evaluate(TinyNet(), 'clustering', own, overwrite=True, **few)
    assert TinyNet.calls > calls
    # Other weights, settings or images are other results.
    other, calls = TinyNet(), TinyNet.calls
    nn.init.zeros_(other.conv.bias)
    mmcroc.evaluate(other, 'clustering', own, **few)
    assert TinyNet.calls > calls
    calls = TinyNet.calls
    mmcroc.evaluate(other, 'clustering', own, **dict(few, seeds=[1]))
    assert TinyNet.calls > calls
    os.utime(own.masks + '/00.png', (1, 1))
    calls = TinyNet.calls
    mmcroc.evaluate(other, 'clustering', own, **dict(few, seeds=[1]))
    assert TinyNet.calls > calls
    # Another model's results stay.
    mmcroc.evaluate('rgb', 'clustering', own, **few)
    results = json.loads((tmp_path / 'results.json').read_text())['results']
    assert [result['model'] for result in results] == ['TinyNet', 'rgb']


def test_a_broken_results_file_is_named_and_kept(own, tmp_path):
    (tmp_path / 'results.json').write_text('{"results": [')
    with pytest.raises(ValueError, match=r'results\.json is no results\.json of an evaluation'):
        mmcroc.evaluate('rgb', 'clustering', own, work_dir=tmp_path, **FEW)
    assert (tmp_path / 'results.json').read_text() == '{"results": ['


def test_a_head_that_would_not_be_trained_is_not_scored(own):
    """Once four images and batches of 120, the last left out, gave the score of a random head."""
    with pytest.raises(ValueError, match='4 training images do not fill a batch of 120'):
        mmcroc.evaluate('rgb', 'linear-leopart', own, image_size=64, num_workers=0)
