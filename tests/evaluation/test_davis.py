"""From a folder of DAVIS to a table: drawn videos, restarts, two ranks, scores from disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmcroc.evaluation.davis import davis_table, evaluate_davis, score_davis
from mmcroc.evaluation.davis_settings import DAVIS, DAVIS_DINOV3
from mmcroc.features.pretrained_backbone import load_model
from tests.support.drawn_videos import draw_davis, squares, write_mask, write_split, write_video
from tests.support.paths import DATA, FIXTURES
from tests.support.processes import on_two_ranks

SMALL = replace(DAVIS, short_side=192, multiple=16)


class Colours(nn.Module):
    """Mean colours of patches of 8 pixels; counts images, and fails at one if told so."""

    fail_at = None

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, images):
        self.seen += 1
        if self.seen == self.fail_at:
            raise RuntimeError('stopped')
        return nn.functional.avg_pool2d(images, 8)


def model(**attributes):
    """A dense model of colours; ``seen`` of its network counts images."""
    dense = load_model(Colours())
    assert dense.stride == 8
    dense.model.seen = 0
    for name, value in attributes.items():
        setattr(dense.model, name, value)
    return dense


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return draw_davis(tmp_path_factory.mktemp('davis'))


@pytest.fixture(scope='module')
def report(root):
    return evaluate_davis(model(), root, settings=SMALL)


def without_time(report):
    """A report without what differs from run to run."""
    sequences = [dict(each, seconds=None) for each in report['sequences']]
    return dict(report, sequences=sequences, seconds=None, ranks=None)


def test_squares_are_followed_by_their_colours(report):
    assert report['metrics']['J'] > 80
    assert report['protocol'] == 'davis (short_side=192, multiple=16)'
    assert (report['num_frames'], report['num_objects']) == (15, 6)


def test_a_report_is_ready_for_json_and_its_means_are_over_objects(report):
    again = json.loads(json.dumps(report))
    for name in ('J', 'J_recall', 'J_decay', 'F', 'F_recall', 'F_decay', 'J&F'):
        mean = np.mean([each[name] for each in again['objects']])
        np.testing.assert_allclose(again['metrics'][name], mean)
    assert [each['objects'] for each in again['sequences']] == [2, 1, 3]
    assert again['settings']['radius'] == 12


def test_the_table_has_every_object_and_sequence(report):
    table = davis_table(report)
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.splitlines()]
    assert [row[:2] for row in cells if len(row) == 9 and row[0] != 'sequence'] == [
        ['two', '1'], ['two', '2'], ['two', 'mean'], ['one', '1'],
        ['three', '1'], ['three', '2'], ['three', '3'], ['three', 'mean'], ['3 sequences', '6'],
    ]  # fmt: skip
    assert f'{report["metrics"]["J&F"]:.1f}' in table and report['protocol'] in table


def test_masks_and_pictures_are_written(root, report, tmp_path):
    written = evaluate_davis(model(), root, settings=SMALL, out_dir=tmp_path)
    assert without_time(written) == without_time(report)
    scored = score_davis(tmp_path / 'masks', root)
    assert scored['metrics'] == report['metrics']
    first = root / 'Annotations' / '480p' / 'two' / '00000.png'
    with Image.open(first) as given, Image.open(tmp_path / 'masks/two/00000.png') as kept:
        np.testing.assert_array_equal(np.array(given), np.array(kept))
    with Image.open(tmp_path / 'pictures' / 'two.gif') as moving:
        assert moving.n_frames == 6
    assert (tmp_path / 'pictures' / 'three.png').is_file()


def test_complete_sequences_are_not_computed_again(root, report, tmp_path):
    evaluate_davis(model(), root, settings=SMALL, out_dir=tmp_path)
    again = model(fail_at=1)
    found = evaluate_davis(again, root, settings=SMALL, out_dir=tmp_path)
    assert without_time(found) == without_time(report) and not again.model.seen
    (tmp_path / 'masks' / 'one' / '00002.png').unlink()
    again = model()
    evaluate_davis(again, root, settings=SMALL, out_dir=tmp_path)
    assert again.model.seen == 4  # frames of 'one'


@pytest.mark.parametrize('changed', ['settings', 'weights', 'first mask'])
def test_what_was_computed_otherwise_is_computed_again(changed, tmp_path):
    root, out = draw_davis(tmp_path / 'davis'), tmp_path / 'out'
    write_split(root, 'val', ['one'])
    evaluate_davis(model(), root, settings=SMALL, out_dir=out)
    again, settings = model(), SMALL
    if changed == 'settings':
        settings = replace(SMALL, topk=3)
    elif changed == 'weights':
        again.model.bias = nn.Parameter(torch.ones(1))
    else:
        write_mask(root / 'Annotations' / '480p' / 'one' / '00000.png', squares(9, 2, 160, 96)[8])
    evaluate_davis(again, root, settings=settings, out_dir=out)
    assert again.model.seen == 4


def test_a_run_that_stops_leaves_whole_sequences_and_no_half(root, report, tmp_path):
    with pytest.raises(RuntimeError, match='stopped'):
        evaluate_davis(model(fail_at=9), root, settings=SMALL, out_dir=tmp_path)
    assert [path.name for path in (tmp_path / 'masks').iterdir()] == ['two']  # the longest
    again = model()
    found = evaluate_davis(again, root, settings=SMALL, out_dir=tmp_path)
    assert without_time(found) == without_time(report) and again.model.seen == 9


def test_nothing_is_written_where_data_are_wrong(tmp_path):
    root = draw_davis(tmp_path / 'davis')
    (root / 'JPEGImages' / '480p' / 'three' / '00002.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'00002\.jpg is missing'):
        evaluate_davis(model(), root, settings=SMALL, out_dir=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_split_of_first_masks_is_propagated_and_not_scored(root, tmp_path):
    found = evaluate_davis(model(), root, 'test-dev', SMALL, tmp_path)
    assert found['metrics'] == {} and found['num_objects'] == 2
    assert len(list((tmp_path / 'masks' / 'first-only').glob('*.png'))) == 4
    assert 'first-only' in davis_table(found)


def test_void_in_the_first_mask_is_background_or_refused(tmp_path):
    masks = squares(4)
    masks[:, -8:] = 255
    write_video(tmp_path, 'void', masks)
    write_split(tmp_path, 'val', ['void'])
    for dense in (model(), model(fail_at=1)):  # computed, then read
        found = evaluate_davis(dense, tmp_path, settings=SMALL, out_dir=tmp_path / 'out')
        assert found['num_objects'] == 2 and found['metrics']['J'] > 80
    with pytest.raises(ValueError, match=r'00000.png has void pixels \(255\), .* cannot be scored'):
        evaluate_davis(model(), tmp_path, settings=replace(SMALL, void_to_background=False))


def test_dinov3s_variant_runs_to_the_end(root):
    settings = replace(DAVIS_DINOV3, short_side=192)
    found = evaluate_davis(model(), root, settings=settings)
    assert found['metrics']['J'] > 80
    assert found['protocol'] == 'davis-dinov3 (short_side=192)'


def test_any_module_is_scored_and_stays_as_it_is(root, report):
    network = Colours()
    network.train()
    assert without_time(evaluate_davis(network, root, settings=SMALL)) == without_time(report)
    assert network.training


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (nn.Flatten(), r'Flatten gave features of \(1, .*not a \(B, C, h, w\) map'),
        (nn.Threshold(100, float('nan')), 'features of .*00000.jpg hold NaN'),
    ],
)
def test_features_that_are_none_are_refused(network, message, root):
    with pytest.raises(ValueError, match=message):
        evaluate_davis(network, root, settings=SMALL)


def run_rank(_, folder):
    return evaluate_davis(model(), folder / 'davis', settings=SMALL, out_dir=folder / 'out')


def test_two_ranks_share_the_sequences_and_give_the_report_of_one(root, report, tmp_path):
    (tmp_path / 'davis').symlink_to(root)
    for each in on_two_ranks(run_rank, tmp_path):
        assert without_time(each) == without_time(report)
        assert each['ranks'] == 2
    assert len(list((tmp_path / 'out' / 'masks').iterdir())) == 3


with np.load(FIXTURES / 'davis_scores.npz') as file:
    REFERENCE = dict(file)


def write_cases(root):
    """Every drawn case of the reference as a sequence of one data set; returns the results."""
    names = [str(name) for name in REFERENCE['cases']]
    for name in names:
        write_video(root, name, REFERENCE[f'{name}_gt'])
        for t, ids in enumerate(REFERENCE[f'{name}_pred']):
            write_mask(root / 'results' / name / f'{t:05d}.png', ids)
    write_split(root, 'val', names)
    return root / 'results'


def link_osvos(root):
    """Two sequences of DAVIS itself, with masks that were published; returns the results."""
    davis = Path(DATA, 'davis2017').resolve()
    for folder in ('JPEGImages', 'Annotations'):
        (root / folder).symlink_to(davis / folder)
    write_split(root, 'val', ['blackswan', 'car-shadow'])
    return davis / 'Results' / 'osvos'


@pytest.mark.parity
@pytest.mark.parametrize(
    ('case', 'prepare'),
    # The scores of the second do not come with us (MMCROC_FIXTURES, MMCROC_DATA).
    [('all', write_cases), ('osvos', link_osvos)][: 1 + bool(DATA and 'osvos_global' in REFERENCE)],
)
def test_totals_from_disk_are_those_of_davis2017_evaluation(case, prepare, tmp_path):
    report = score_davis(prepare(tmp_path), tmp_path)
    objects = [f'{each["sequence"]}_{each["object"]}' for each in report['objects']]
    assert objects == REFERENCE[f'{case}_object_names'].tolist()
    order = ('J&F', 'J', 'J_recall', 'J_decay', 'F', 'F_recall', 'F_decay')
    found = [report['metrics'][name] / 100 for name in order]
    np.testing.assert_allclose(found, REFERENCE[f'{case}_global'], rtol=0, atol=1e-9)
