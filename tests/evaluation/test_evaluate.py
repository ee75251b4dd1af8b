"""mmcroc.evaluate: any model, protocols in one pass, changed settings, own images."""

import os

import pytest
from torch import nn

import mmcroc
from mmcroc.evaluation.data_sets import OwnImages
from mmcroc.evaluation.protocols import data_set, prepare, protocol
from tests.support.own_images import FEW, TinyNet, draw_own
from tests.support.paths import CONFIGS


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    return OwnImages(*draw_own(tmp_path_factory.mktemp('own')), val_fraction=0.5)


@pytest.fixture(scope='module')
def together(own):
    """Three protocols on one's own images in one call."""
    TinyNet.calls = 0
    few = dict(FEW, num_epochs=2, **{'test_evaluator.batch_size': 2})
    report = mmcroc.evaluate(TinyNet(), ['clustering-leopart', 'clustering', 'linear-cached'],
                             own, **few)  # fmt: skip
    return report, TinyNet.calls


def test_own_images_and_a_module_give_a_table(together):
    report, _ = together
    assert not report.failures and len(report.results) == 3
    table = report.table()
    for result in report.results:
        assert result['model'] == 'TinyNet' and result['data'] == 'images'
        assert result['classes'] == ['0', '1', '2'] and result['num_images'] == 4
        assert len(result['iou_per_seed'][0]) == 3 and 0 < result['metrics']['mIoU'] <= 100
        assert f'{result["metrics"]["mIoU"]:.2f}' in table
        assert result['peak_gib']['main'] > 0.1 and result['seconds'] > 0
    assert report['TinyNet', 'linear-cached*']['settings']['num_train_images'] == 4


def test_protocols_that_score_the_same_tokens_share_the_passes(together, own):
    report, calls = together
    assert calls == 1 + 2  # one batch of scored images; two crops of a batch of training images
    TinyNet.calls = 0
    alone = mmcroc.evaluate(TinyNet(), 'clustering', own, **FEW)
    assert TinyNet.calls == 1
    want = report['TinyNet', 'clustering*']
    assert alone['TinyNet', 'clustering*']['iou_per_seed'] == want['iou_per_seed']
    assert want['shared_with'] == ['clustering-leopart*', 'linear-cached*']


def test_a_changed_setting_changes_the_name_and_an_unchanged_one_does_not(own):
    def made(changed, data=own, **options):
        return prepare(changed, data, **options).changes

    clustering, linear = protocol('clustering-leopart'), protocol('linear-leopart')
    assert clustering.name == 'clustering-leopart'
    assert clustering.changed(num_restarts=2).name == 'clustering-leopart*'
    assert made(clustering.changed(num_restarts=2)) == dict(num_restarts=2)
    assert made(clustering.changed(num_restarts=5, image_size=448)) == {}
    assert made(clustering, batch_size=3) == {}  # scored images are each their own
    assert made(linear, batch_size=3) == {'train_dataloader.batch_size': 3}
    assert made(linear.changed({'train_cfg.max_epochs': 1}), train_images=2, val_images=1) == {
        'train_cfg.max_epochs': 1,
        'train_images': 2,
        'val_images': 1,
    }
    assert made(protocol('retrieval-hsg').changed(grid=(6, 6)), data_set('cityscapes'))
    with pytest.raises(ValueError, match="no setting 'num_restart'; clustering-leopart has absent"):
        made(clustering.changed(num_restart=2))


def test_a_data_set_of_ones_own_may_carry_settings_of_protocols(tmp_path):
    voc = CONFIGS / '_base_' / 'datasets' / 'voc.py'
    (tmp_path / 'streets.py').write_text(
        f'_base_ = {str(voc)!r}\nprotocol_settings = dict(clustering=dict(map_size=7))\n'
    )
    streets = data_set(str(tmp_path / 'streets.py'))
    made = prepare(protocol('clustering'), streets)
    assert streets.name == 'streets' and made.cfg.test_evaluator.map_size == 7 and not made.changes
    assert prepare(protocol('clustering').changed(map_size=100), streets).changes


def test_variants_of_one_protocol_stand_beside_each_other(own):
    one = protocol('clustering-leopart')
    report = mmcroc.evaluate('rgb', [one.changed(matching='iou'), one.changed(pca_dim=None)],
                             own, **FEW)  # fmt: skip
    assert [result['protocol'] for result in report.results] == [
        'clustering-leopart*', 'clustering-leopart**',
    ]  # fmt: skip
    assert 'clustering-leopart**: not the protocol, but with' in report.table()


def test_two_modules_of_one_class_have_two_names(own):
    report = mmcroc.evaluate([TinyNet(), TinyNet()], 'clustering', own, **FEW)
    assert [result['model'] for result in report.results] == ['TinyNet', 'TinyNet 2']


def test_a_module_that_gives_no_map_is_refused_in_words(own):
    with pytest.raises(ValueError, match=r'Flatten gave features of \(.*\), not a \(B, C, h, w\)'):
        mmcroc.evaluate(nn.Flatten(), 'clustering', own, **FEW)


def test_the_users_module_stays_as_it_is(own):
    module = TinyNet().train()
    mmcroc.evaluate(module, 'clustering', own, **FEW)
    assert module.training and module.conv.weight.requires_grad


def test_names_that_there_are_not_are_refused_before_anything_is_computed(own, tmp_path):
    with pytest.raises(ValueError, match="no protocol 'linear'; there are clustering-leopart"):
        mmcroc.evaluate('rgb', 'linear', own)
    with pytest.raises(ValueError, match="no data set 'vok'; there are ade20k"):
        mmcroc.evaluate('rgb', 'clustering', 'vok')
    with pytest.raises(FileNotFoundError, match='no folder'):
        mmcroc.evaluate('rgb', 'clustering', 'voc', tmp_path / 'none')
    with pytest.raises(ValueError, match='data_root goes with a data set of a name'):
        mmcroc.evaluate('rgb', 'clustering', own, tmp_path)


def test_all_is_every_protocol_that_the_data_have_labels_for(own, monkeypatch):
    from mmcroc.evaluation import matrix

    found = matrix._evaluations('all', own, {}, {})
    assert {'clustering-leopart', 'linear-cached', 'retrieval-hsg'} <= set(found)
    assert not {'nfcovering-hsg', 'linear-leopart', 'linear-mmseg'} & set(found)


def test_no_more_workers_than_the_machine_has_cores_for(own, tmp_path, monkeypatch):
    from mmcroc.evaluation import matrix, passes

    made = matrix._evaluations(['linear-cached', 'linear-leopart'], own, {}, {})
    for cores, want in ((1, 0), (2, 1), (64, 8)):
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _, cores=cores: range(cores))
        run = passes.Passes(made, tmp_path, None, 'none')
        cached = run._config('rgb', ['linear-cached'])
        loaders = [cached.test_dataloader, cached.test_evaluator[0].train_dataloader]
        loaders.append(run._config('rgb', ['linear-leopart']).train_dataloader)
        assert [loader.num_workers for loader in loaders] == [want] * 3
        assert [loader.persistent_workers for loader in loaders] == [want > 0] * 3


TOY = """# Protocol toy: a function of its own.
function = 'tests.support.own_images.score_videos'
settings = dict(radius=12)
"""


def test_a_protocol_may_be_a_function_and_a_file_of_ones_own(tmp_path):
    (tmp_path / 'toy.py').write_text(TOY)
    (tmp_path / 'clips.py').write_text("videos = dict(data_root='clips', split='val')\n")
    toy, clips = str(tmp_path / 'toy.py'), str(tmp_path / 'clips.py')
    report = mmcroc.evaluate(TinyNet(), [toy, protocol(toy).changed(radius=6)], clips)
    plain, changed = report.results
    assert plain['metrics'] == dict(score=12 + 8) and changed['metrics'] == dict(score=6 + 8)
    assert changed['protocol'] == 'toy*' and changed['changes'] == dict(radius=6)
    assert plain['root'] == 'clips' and 'on clips, %' in report.table()
    with pytest.raises(ValueError, match="no setting 'radios'; toy has radius"):
        mmcroc.evaluate('rgb', toy, clips, radios=3)
    with pytest.raises(ValueError, match='toy on images: the data have no videos'):
        mmcroc.evaluate('rgb', toy, OwnImages(*draw_own(tmp_path)))


def test_every_phase_tells_of_its_progress_and_of_nothing_else(own, monkeypatch, capfd):
    """Once the config filled the screen, and then minutes passed without a line."""
    monkeypatch.setattr('mmcroc.evaluation.progress.LOG_EVERY', 0)
    mmcroc.evaluate(TinyNet(), ['clustering', 'linear-ridge'], own, **FEW)
    said = ''.join(capfd.readouterr())
    for phase in ('linear-ridge*, training images: batch 1 of 1', 'scored images: batch 1 of 1',
                  'clustering*, k-means: start 1 of 1, 0.0 min left'):  # fmt: skip
        assert phase in said
    assert len([line for line in said.splitlines() if ' - INFO - ' in line]) < 20
    assert 'default_hooks' not in said and '| class' not in said


def test_data_root_is_the_folder_of_training_and_validation(tmp_path):
    sets = data_set('voc', tmp_path).sets()
    assert sets['train_set']['data_root'] == sets['val_set']['data_root'] == str(tmp_path)
    (tmp_path / 'both.py').write_text(
        "train_set = dict(datasets=[dict(data_root='a'), dict(data_root='b')])"
    )
    wrapped = data_set(str(tmp_path / 'both.py'), tmp_path).sets()['train_set']
    assert [one['data_root'] for one in wrapped['datasets']] == [str(tmp_path)] * 2
    assert 'data_root' not in wrapped
