"""Every evaluation config runs to its end on its data set's layout."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmcroc.config_files import read_config
from mmcroc.features.pretrained_backbone import PretrainedBackbone
from mmcroc.registry import DATASETS, MODELS
from tests.support.paths import CONFIGS

EVERY = sorted(path.stem for path in (CONFIGS / 'eval').glob('*.py'))
COVERINGS = [stem for stem in EVERY if stem.startswith('nfcovering')]
EVALUATIONS = [stem for stem in EVERY if stem not in COVERINGS]
NUM_CLASSES = {
    'voc': 21, 'voc-animals': 7, 'coco-things': 12, 'coco-stuff': 15, 'cityscapes': 19,
    'kitti-step': 19, 'coco-stuff27': 27, 'cityscapes27': 27,
}  # fmt: skip


def mini_config(stem, roots, work_dir):
    protocol, _, data = stem.split('_')
    cfg = read_config(CONFIGS / 'eval' / f'{stem}.py')
    loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
    for loader in filter(None, [*loaders, cfg.test_evaluator.get('train_dataloader')]):
        batch_size = min(2, loader.batch_size)
        loader.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(roots[data])
        loader.dataset.pop('fraction', None)
    cfg.model.backbone.model = 'rgb'
    if 'decode_head' in cfg.model:
        cfg.model.decode_head.update(in_channels=5, channels=5)
        length = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
        cfg.train_cfg.update({length: 1}, val_interval=1)
    elif protocol == 'retrieval-hsg':
        cfg.test_evaluator.update(stride=16)
    elif protocol == 'linear-cached':
        cfg.test_evaluator.update(batch_size=2, num_epochs=2, seeds=[0])
    else:
        cfg.test_evaluator.update(num_restarts=1, seeds=[0])
    cfg.update(work_dir=str(work_dir), log_level='WARNING', experiment_name=stem)
    return cfg, protocol, data


@pytest.mark.parametrize('stem', EVALUATIONS)
def test_it_runs_to_the_end_and_names_its_protocol(stem, data, tmp_path):
    cfg, protocol, name = mini_config(stem, data[1], tmp_path)
    runner = Runner.from_cfg(cfg)
    if cfg.get('train_dataloader'):
        runner.train()
        loop = runner.val_loop
    else:
        runner.test()
        loop = runner.test_loop
    (metric,) = loop.evaluator.metrics
    assert metric.report['protocol'] == metric.prefix == protocol
    assert metric.report['num_images'] == len(loop.dataloader.dataset) >= 1
    assert len(metric.report['classes']) == NUM_CLASSES[name]
    assert 0 < metric.report['metrics']['mIoU'] <= 100


@pytest.mark.parametrize('stem', COVERINGS)
def test_a_covering_scores_every_image_that_has_foreground(stem, data, tmp_path):
    cfg = read_config(CONFIGS / 'eval' / f'{stem}.py')
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.data_root = str(data[1][stem.split('_')[2]])
    cfg.model.update(model='rgb', longer_side=64)
    cfg.update(work_dir=str(tmp_path), log_level='WARNING', experiment_name=stem)
    runner = Runner.from_cfg(cfg)
    score = runner.test()['nfcovering-hsg/best']
    (metric,) = runner.test_loop.evaluator.metrics
    images = runner.test_loop.dataloader.dataset
    with_foreground = sum(bool(sample['data_samples'].gt_regions.data.any()) for sample in images)
    assert 1 <= metric.report['num_images'] == with_foreground
    assert 0 < score <= 100


@pytest.mark.parametrize('stem', EVERY)
def test_its_head_names_protocol_images_and_model(stem):
    head = (CONFIGS / 'eval' / f'{stem}.py').read_text().split('_base_')[0]
    assert head.startswith(f'# {stem.split("_")[0]}, ')
    assert 'validation' in head and ('ViT-S' in head or 'ResNet-50' in head)


@pytest.mark.parametrize('stem', EVERY)
def test_no_weights_are_scored_that_were_not_named(stem):
    cfg = read_config(CONFIGS / 'eval' / f'{stem}.py')
    init_default_scope('mmseg')
    setting = 'model.model' if stem in COVERINGS else 'model.backbone.model'
    with pytest.raises(ValueError, match=rf'tools/evaluate\.py MODEL .*--cfg-options {setting}='):
        MODELS.build(cfg.model)


@pytest.fixture(scope='module')
def resnet():
    return PretrainedBackbone('random:resnet50')


@pytest.mark.parametrize('stem', [stem for stem in EVALUATIONS if '_r50_' in stem])
def test_resnet_configs_fit_their_backbone_and_change_nothing_else(stem, resnet):
    cfg, vit = (
        read_config(CONFIGS / 'eval' / f'{name}.py').to_dict()
        for name in (stem, stem.replace('r50', 'vit-s'))
    )
    assert cfg['model']['backbone'] == vit['model']['backbone']
    if 'decode_head' in cfg['model']:
        assert cfg['model']['decode_head'].pop('in_channels') == resnet.out_channels
        assert cfg['model']['decode_head'].pop('channels') == resnet.out_channels
    test_cfg = cfg['model']['data_preprocessor'].pop('test_cfg', None)
    assert test_cfg in (None, dict(size_divisor=resnet.stride))
    assert (test_cfg is None) == ('test_cfg' not in vit['model']['data_preprocessor'])
    for part in (cfg, vit):
        part['model'].pop('backbone')
        part['model']['data_preprocessor'].pop('test_cfg', None)
    for key in ('in_channels', 'channels'):
        vit['model'].get('decode_head', {}).pop(key, None)
    assert cfg == vit


def test_there_is_a_config_for_each_protocol_model_and_data_set():
    for protocol in ('clustering-leopart', 'linear-leopart', 'linear-mmseg'):
        for arch in ('vit-s', 'r50'):
            for name in ('voc', 'coco-things', 'coco-stuff', 'cityscapes', 'kitti-step'):
                assert f'{protocol}_{arch}_{name}' in EVALUATIONS


def test_linear_leopart_trains_one_convolution_on_labels_of_100(drawn_roots, tmp_path):
    cfg, _, _ = mini_config('linear-leopart_vit-s_voc', drawn_roots, tmp_path)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    assert model.decode_head.conv_seg.kernel_size == (1, 1)
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, 448, 448)
    assert sample['data_samples'].gt_sem_seg.shape == (100, 100)
    labels = set(sample['data_samples'].gt_sem_seg.data.unique().tolist())
    assert labels <= {0, 1, 8, 12, 15, 20, 255} and len(labels) > 2


def test_linear_leopart_scores_squashed_images_at_their_size(drawn_roots, tmp_path):
    cfg, _, _ = mini_config('linear-leopart_vit-s_voc', drawn_roots, tmp_path)
    init_default_scope('mmseg')
    data = DATASETS.build(cfg.val_dataloader.dataset)[0]
    prediction = MODELS.build(cfg.model).val_step(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )[0]
    assert prediction.pred_sem_seg.shape == prediction.gt_sem_seg.shape == (448, 448)


def test_linear_evaluation_on_coco_takes_a_tenth_of_the_images(drawn_roots):
    for data in ('coco-things', 'coco-stuff'):
        cfg = read_config(CONFIGS / 'eval' / f'linear-leopart_vit-s_{data}.py')
        assert cfg.train_dataloader.dataset.fraction == 0.1
        settings = dict(cfg.train_dataloader.dataset, data_root=str(drawn_roots[data]))
        init_default_scope('mmseg')
        assert len(DATASETS.build(settings)) == 1  # of 3, rounded up
        assert len(DATASETS.build(dict(settings, fraction=1.0))) == 3


def test_published_settings():
    linear = read_config(CONFIGS / 'eval' / 'linear-leopart_vit-s_voc.py')
    assert linear.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4
    )
    assert linear.train_cfg.max_epochs == 25 and linear.param_scheduler[0].milestones == [20]
    assert linear.train_dataloader.batch_size == linear.auto_scale_lr.base_batch_size == 120
    assert linear.model.decode_head.loss_decode.avg_non_ignore
    metric = read_config(CONFIGS / 'eval' / 'clustering-leopart_vit-s_voc.py').test_evaluator
    assert (metric.num_restarts, metric.num_iterations, metric.pca_dim, metric.map_size) == (
        5, 100, 50, 100,
    )  # fmt: skip
    assert len(metric.seeds) == 5 and metric.matching == 'hungarian' and metric.absent == 'zero'
    assert metric.algorithm == 'faiss'
    over = read_config(CONFIGS / 'eval' / 'overclustering-leopart_vit-s_voc.py').test_evaluator
    assert (over.num_clusters, over.matching, over.algorithm) == (500, 'precision', 'faiss')


@pytest.mark.parametrize('data', ['voc', 'voc-animals'])
def test_clustering_is_clustering_leopart_but_for_its_kmeans(data):
    released, better = (
        read_config(CONFIGS / 'eval' / f'{protocol}_vit-s_{data}.py').to_dict()
        for protocol in ('clustering-leopart', 'clustering')
    )
    for name in ('val_evaluator', 'test_evaluator'):
        released[name].update(protocol='clustering', algorithm='k-means++')
    assert better == released


@pytest.mark.parametrize('protocol', ['clustering-leopart', 'linear-leopart', 'linear-cached'])
def test_leoparts_images_and_masks_are_squashed_as_by_pillow(protocol, drawn_roots, tmp_path):
    """torchvision's Resize of Pillow's images: bilinear antialiased, nearest by pixel centres."""
    cfg, _, _ = mini_config(f'{protocol}_vit-s_voc', drawn_roots, tmp_path)
    init_default_scope('mmseg')
    settings = cfg.test_dataloader.dataset
    settings.pipeline[2].scale = (37, 37)  # smaller than the drawn images
    sample = DATASETS.build(settings)[0]
    root = drawn_roots['voc']
    with Image.open(root / 'JPEGImages' / 'val_0.jpg') as image:
        want = image.convert('RGB').resize((37, 37), Image.Resampling.BILINEAR)
    found = sample['inputs'].flip(0).permute(1, 2, 0).numpy()
    # Two JPEG decoders may differ by a grey level.
    assert np.abs(found.astype(int) - np.asarray(want)).max() <= 3
    with Image.open(root / 'SegmentationClass' / 'val_0.png') as mask:
        want = mask.resize((37, 37), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(sample['data_samples'].gt_sem_seg.data[0], np.asarray(want))


@pytest.mark.parametrize('protocol', ['clustering-leopart', 'linear-leopart'])
def test_leoparts_resnets_give_28x28_tokens(protocol, drawn_roots):
    cfg = read_config(CONFIGS / 'eval' / f'{protocol}_r50_voc.py')
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert model.extract_feat(torch.zeros(1, 3, 448, 448))[-1].shape[2:] == (28, 28)


def test_linear_cached_is_linear_leopart_but_for_its_draws():
    for data in ('voc', 'voc-animals'):
        cached, linear = (
            read_config(CONFIGS / 'eval' / f'{protocol}_vit-s_{data}.py')
            for protocol in ('linear-cached', 'linear-leopart')
        )
        metric, optimizer = cached.test_evaluator, linear.optim_wrapper.optimizer
        for name in ('lr', 'momentum', 'weight_decay'):
            assert metric[name] == optimizer[name]
        assert metric.num_epochs == linear.train_cfg.max_epochs
        assert metric.milestones == linear.param_scheduler[0].milestones
        assert metric.batch_size == linear.train_dataloader.batch_size
        assert metric.absent == linear.test_evaluator.absent
        trained = dict(linear.train_dataloader.dataset)
        assert metric.train_pipeline == trained.pop('pipeline')
        assert metric.train_dataloader.dataset == trained
        scored = [step.type for step in linear.test_dataloader.dataset.pipeline]
        scored.remove('mmcroc.ScoreAtInputSize')  # MMSegmentation's models alone resize by it
        assert [step.type for step in cached.test_dataloader.dataset.pipeline] == scored


@pytest.mark.parametrize(
    ('data_name', 'canvas', 'grid'),
    [
        ('voc', (512, 512), (6, 6)),
        ('cityscapes', (1024, 2048), (12, 24)),
        ('kitti-step', (375, 1242), (6, 12)),
    ],
)
def test_retrieval_pads_to_the_published_size_and_keeps_masks(
    data_name, canvas, grid, drawn_roots, tmp_path
):
    cfg, _, _ = mini_config(f'retrieval-hsg_vit-s_{data_name}', drawn_roots, tmp_path)
    assert cfg.test_evaluator.grid == grid and cfg.test_evaluator.num_neighbours == 20
    assert cfg.test_evaluator.num_iterations == 15
    assert cfg.test_evaluator.train_pipeline == cfg.test_dataloader.dataset.pipeline
    init_default_scope('mmseg')
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    scale = min(canvas[0] / 48, canvas[1] / 64)
    assert sample['inputs'].shape == (3, *canvas)
    meta = sample['data_samples'].metainfo
    assert meta['img_shape'] == (int(48 * scale + 0.5), int(64 * scale + 0.5))
    assert meta['pad_shape'] == canvas
    assert sample['data_samples'].gt_sem_seg.shape == meta['ori_shape'] == (48, 64)
