"""What travels with the weights, and what does not."""

import json

import pytest
import torch

from mmcroc.export.export import export_backbone
from mmcroc.export.provenance import data_of, is_same_model, protocol_results
from tests.support.hsg_models import save_hsg
from tests.support.random_models import TINY, save, vit_config


def exported(model, folder, **options):
    return export_backbone(model, 'mmpretrain', folder / 'out.pth', **options).metadata


def test_a_pretraining_checkpoint_tells_all(croc, tmp_path):
    found = exported(croc.path, tmp_path)
    assert (found['method'], found['network']) == ('CrOC', 'teacher')
    assert (found['epochs'], found['iterations'], found['seed']) == (7, 70, 5)
    assert found['data'] == 'UnlabelledImages VOC2012 JPEGImages ImageSets/trainaug.txt'
    assert 'private' not in json.dumps(found) and str(tmp_path) not in json.dumps(found)
    inside = torch.load(tmp_path / 'out.pth', weights_only=True)['meta']['mmcroc']
    assert inside.items() >= found.items()


def test_two_configs_have_two_hashes(tmp_path):
    hashes = set()
    for patch_size in (8, 16):
        saved = save(tmp_path, vit_config(TINY, patch_size))
        hashes.add(export_backbone(saved.path, 'mmpretrain', tmp_path / f'{patch_size}.pth')
                   .metadata['config_sha256'])  # fmt: skip
    assert len(hashes) == 2


def test_a_checkpoint_without_a_config_is_exported_too(tmp_path):
    saved = save(tmp_path, vit_config(dict(TINY, num_heads=1, embed_dims=64)))
    state = torch.load(saved.path, weights_only=True)['state_dict']
    torch.save(dict(state_dict=state), saved.path)
    found = exported(saved.path, tmp_path)
    assert found['source'] == 'checkpoint.pth' and 'method' not in found and 'data' not in found


def test_iterations_are_not_epochs(tmp_path):
    saved = save(tmp_path, vit_config(TINY), epoch=0, iter=200)
    found = exported(saved.path, tmp_path)
    assert found['iterations'] == 200 and 'epochs' not in found


def test_an_export_of_an_export_takes_more_results(croc, tmp_path):
    exported(croc.path, tmp_path, results=[results_file(tmp_path, str(croc.path))])
    more = results_file(tmp_path, str(tmp_path / 'out.pth'))
    more.write_text(more.read_text().replace('linear-leopart', 'clustering-leopart'))
    again = export_backbone(tmp_path / 'out.pth', 'mmpretrain', tmp_path / 'x.pth', results=[more])
    found = [result['protocol'] for result in again.metadata['protocol_results']]
    assert found == ['linear-leopart', 'clustering-leopart']


@pytest.mark.parametrize(
    'text',
    [
        'x = 1',
        'train_dataloader = None',
        'train_dataloader = f()',
        'train_dataloader = dict()',
        '(',
    ],
)
def test_configs_that_do_not_say_their_data(text):
    assert data_of(text) is None


def results_file(folder, *models):
    results = [
        dict(model=model, protocol='linear-leopart', data='voc', metrics=dict(mIoU=value))
        for value, model in enumerate(models)
    ]
    path = folder / 'results.json'
    path.write_text(json.dumps(dict(versions={}, results=results)))
    return path


def test_only_results_of_this_model_are_taken(croc, tmp_path):
    path = results_file(tmp_path, 'rgb', str(croc.path), 'other/checkpoint.pth')
    found = exported(croc.path, tmp_path, results=[path])['protocol_results']
    assert found == [dict(protocol='linear-leopart', data='voc', metrics=dict(mIoU=1))]
    path = results_file(tmp_path, 'rgb', 'other/checkpoint.pth')
    with pytest.raises(ValueError, match=r'no results of .*checkpoint\.pth, but of other'):
        exported(croc.path, tmp_path, results=[path], force=True)


def test_results_of_hsgs_embedding_are_not_its_backbones(tmp_path):
    _, path = save_hsg(tmp_path)
    with pytest.raises(ValueError, match=r'hsg\.pth:backbone, but of'):
        exported(path, tmp_path, results=[results_file(tmp_path, str(path))])
    found = exported(path, tmp_path, results=[results_file(tmp_path, f'{path}:backbone')])
    assert len(found['protocol_results']) == 1


def test_results_of_the_teacher_are_not_the_students(croc, tmp_path):
    student = f'{croc.path}:student'
    path = results_file(tmp_path, str(croc.path), f'{croc.path}:teacher', student)
    teachers = exported(croc.path, tmp_path, results=[path])['protocol_results']
    assert [result['metrics']['mIoU'] for result in teachers] == [0, 1]
    (of_student,) = exported(student, tmp_path, results=[path], force=True)['protocol_results']
    assert of_student['metrics']['mIoU'] == 2


@pytest.mark.parametrize('content', ['', '[]', '{"results": [{}]}', '{"results": 3}'])
def test_other_files_are_no_results(content, tmp_path):
    path = tmp_path / 'results.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'no results\.json'):
        protocol_results([path], 'x.pth', [''])


def test_paths_are_compared_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = str(tmp_path / 'runs/epoch_1.pth')
    assert is_same_model('runs/epoch_1.pth', whole) and is_same_model(whole, 'runs/epoch_1.pth')
    assert not is_same_model('runs/epoch_2.pth', whole)
    assert not is_same_model('other/epoch_1.pth', whole)
    assert not is_same_model(f'{whole}:backbone', whole)
    assert is_same_model('timm:resnet50', 'timm:resnet50')
