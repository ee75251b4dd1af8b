"""model-index.yml and the metafiles say what the configs say, in terms that others read."""

import re

import pytest
from mmengine.config import Config
from mmengine.fileio import load
from modelindex.load_model_index import load as load_model_index

from tests.support.paths import CONFIGS, ROOT

SOURCES = {'paper', "authors' released weights", 'own run'}
METAFILES = [ROOT / name for name in load(ROOT / 'model-index.yml')['Import']]
CONTENTS = [load(path) for path in METAFILES]
COLLECTIONS = [collection for content in CONTENTS for collection in content['Collections']]
MODELS = [model for content in CONTENTS for model in content['Models']]
BY_NAME = pytest.mark.parametrize('model', MODELS, ids=[model['Name'] for model in MODELS])
EVALUATION = {path.stem.split('_')[0] for path in (CONFIGS / 'eval').glob('*.py')}
PROBES = {'linear-ridge-probe', 'clustering-probe'}


def test_every_pretraining_config_is_listed_once():
    assert sorted(model['Config'] for model in MODELS) == sorted(
        f'configs/{path.name}' for path in CONFIGS.glob('*.py')
    )


def test_one_metafile_per_method_lists_that_methods_configs():
    for path, content in zip(METAFILES, CONTENTS, strict=True):
        methods = {
            model['Name'].split('_')[0].replace('dino', 'croc') for model in content['Models']
        }
        assert methods == {path.stem.removeprefix('metafile_')}


def test_collections_are_complete_and_all_used():
    names = [collection['Name'] for collection in COLLECTIONS]
    assert len(set(names)) == len(names)
    assert set(names) == {model['In Collection'] for model in MODELS}
    for collection in COLLECTIONS:
        assert collection['Paper']['Title']
        assert collection['Paper']['URL'].startswith('https://arxiv.org/abs/')
        assert collection['Metadata']['Architecture']
        assert collection['Metadata']['Training Techniques']
        assert (ROOT / collection['README']).is_file(), collection['README']


@BY_NAME
def test_the_fields_are_the_configs(model):
    assert set(model) == {'Name', 'In Collection', 'Config', 'Metadata', 'Results', 'Weights'}
    assert model['Name'] == (ROOT / model['Config']).stem
    cfg, metadata = Config.fromfile(ROOT / model['Config']), dict(model['Metadata'])
    assert metadata.pop('Training Data')
    assert metadata.pop('Batch Size') == cfg.auto_scale_lr.base_batch_size
    if 'max_epochs' in cfg.train_cfg:
        assert metadata.pop('Epochs') == cfg.train_cfg.max_epochs
    else:
        assert metadata.pop('Iterations') == cfg.train_cfg.max_iters
    if cfg.model.backbone.get('arch') == 'deit-small':
        assert metadata.pop('Parameters') == 21_665_664  # which tests/test_configs.py counts
    assert not metadata


@BY_NAME
def test_figures_carry_their_protocol_and_source_and_stand_in_the_configs_head(model):
    head = (ROOT / model['Config']).read_text().split('_base_ =')[0]
    for result in model['Results'] or []:
        assert set(result) == {'Task', 'Dataset', 'Source', 'Metrics'}
        assert result['Source'] in SOURCES
        assert result['Metrics']
        for name, value in result['Metrics'].items():
            protocol, metric = name.split('/')
            assert protocol in EVALUATION | PROBES
            assert (protocol in PROBES) == (result['Dataset'] == 'drawn scenes')
            assert metric in ('mIoU', 'aAcc')
            assert 0 < value < 100
            assert re.search(rf'\b{value:.1f}\b', head), f'{value} is not in {model["Config"]}'


@BY_NAME
def test_figures_are_in_the_table_of_the_documentation(model):
    rows = (ROOT / 'docs' / 'zoo.md').read_text().splitlines()
    (row,) = (row for row in rows if f'`{model["Name"]}`' in row)
    figures = [v for result in model['Results'] or [] for v in result['Metrics'].values()]
    for value in figures:
        assert f'{value:.1f}' in row
    assert ('own run' in row) == any(r['Source'] == 'own run' for r in model['Results'] or [])


@BY_NAME
def test_weights_are_links_or_absent(model):
    assert model['Weights'] is None or model['Weights'].startswith('https://')


def test_mmpretrains_reader_understands_it():
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    read = {model.name: model for model in index.models}
    assert set(read) == {model['Name'] for model in MODELS}
    coco = read['croc_vit-s_coco']
    assert coco.config == 'configs/croc_vit-s_coco.py'
    assert [dict(result.metrics) for result in coco.results] == [
        {'linear-leopart/mIoU': value} for value in (54.9, 55.7, 49.9)
    ]
    assert coco.in_collection == 'CrOC'
    assert {one.name for one in index.collections} == {one['Name'] for one in COLLECTIONS}
