"""Every evaluation config runs to its end on its data set's layout."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmcroc.config_files import read_config
from mmcroc.evaluation.data_sets import data_names
from mmcroc.evaluation.davis_settings import DavisSettings
from mmcroc.evaluation.protocols import data_set, protocol_names
from mmcroc.features.pretrained_backbone import PretrainedBackbone
from mmcroc.registry import DATASETS, METRICS, MODELS
from tests.support.evaluation_configs import mini_config, read_evaluation
from tests.support.paths import CONFIGS

FILES = sorted(path.stem for path in (CONFIGS / 'eval').glob('*.py'))
#: Pairs of a protocol and a data set that run here; all others there are combine alike.
DATA_OF = {
    'clustering-leopart': (
        'cityscapes', 'cityscapes27', 'coco-stuff', 'coco-stuff27', 'coco-things', 'kitti-step',
        'voc-animals', 'voc',
    ),
    'clustering': ('voc-animals', 'voc'),
    'overclustering-leopart': ('voc',),
    'linear-cached': ('voc-animals', 'voc'),
    'linear-ridge': ('voc',),
    'linear-leopart': (
        'cityscapes', 'coco-stuff', 'coco-things', 'kitti-step', 'voc-animals', 'voc',
    ),
    'linear-mmseg': ('cityscapes', 'coco-stuff', 'coco-things', 'kitti-step', 'voc-animals', 'voc'),
    'nfcovering-hsg': ('bsds', 'cityscapes', 'coco'),
    'retrieval-hsg': ('cityscapes', 'kitti-step', 'voc-animals', 'voc'),
    'hummingbird': ('ade20k151', 'voc-animals', 'voc'),
    'knn-patch': ('voc-animals', 'voc'),
    'logreg-patch': ('voc',),
    'linear-joint': ('voc',),
}  # fmt: skip
EVERY = [f'{protocol}_{data}' for protocol, names in DATA_OF.items() for data in names]
COVERINGS = [stem for stem in EVERY if stem.startswith('nfcovering')]
EVALUATIONS = [stem for stem in EVERY if stem not in COVERINGS]
NUM_CLASSES = {
    'voc': 21, 'voc-animals': 7, 'coco-things': 12, 'coco-stuff': 15, 'cityscapes': 19,
    'kitti-step': 19, 'coco-stuff27': 27, 'cityscapes27': 27, 'ade20k151': 151,
}  # fmt: skip


@pytest.mark.parametrize('stem', EVALUATIONS)
def test_it_runs_to_the_end_and_names_its_protocol(stem, data, tmp_path):
    protocol, name = stem.split('_')
    # 500 clusters take as many tokens: three images of 14x14.
    size = 224 if protocol.startswith('overclustering') else 64
    cfg = mini_config(protocol, name, data[1][name], tmp_path, size)
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
    protocol, name = stem.split('_')
    runner = Runner.from_cfg(mini_config(protocol, name, data[1][name], tmp_path))
    score = runner.test()['nfcovering-hsg/best']
    (metric,) = runner.test_loop.evaluator.metrics
    images = runner.test_loop.dataloader.dataset
    with_foreground = sum(bool(sample['data_samples'].gt_regions.data.any()) for sample in images)
    assert 1 <= metric.report['num_images'] == with_foreground
    assert 0 < score <= 100


@pytest.mark.parametrize('stem', FILES)
def test_a_file_is_what_its_protocol_and_its_data_set_give(stem):
    written = read_config(CONFIGS / 'eval' / f'{stem}.py').to_dict()
    combined = read_evaluation(*stem.split('_')).to_dict()
    assert {name: written[name] for name in combined} == combined


@pytest.mark.parametrize('protocol', ['davis', 'davis-dinov3'])
def test_videos_are_scored_by_their_own_protocols(protocol):
    cfg = read_evaluation(protocol, 'davis')
    assert cfg.videos == dict(data_root='data/DAVIS', split='val')
    assert DavisSettings(**cfg.settings).protocol == protocol  # nothing is changed
    with pytest.raises(ValueError, match=f'{protocol} on voc: the data have no videos, as davis'):
        read_evaluation(protocol, 'voc')


@pytest.mark.parametrize('protocol', DATA_OF)
def test_a_protocol_goes_with_every_data_set_that_has_what_it_scores(protocol):
    regions = protocol.startswith('nfcovering')
    for name, sets in ((name, data_set(name).sets()) for name in data_names()):
        if sets.get('region_set' if regions else 'val_set'):
            assert read_evaluation(protocol, name).test_dataloader.dataset.data_root
        else:
            wanted = 'region_set, as bsds' if regions else 'val_set, as ade20k'
            with pytest.raises(ValueError, match=f'{protocol} on {name}: .* no {wanted}'):
                read_evaluation(protocol, name)


@pytest.mark.parametrize('stem', FILES)
def test_its_head_names_protocol_images_and_what_to_expect(stem):
    head = (CONFIGS / 'eval' / f'{stem}.py').read_text().split('_base_')[0]
    assert head.startswith(f'# {stem.split("_")[0]} on ')
    assert 'validation' in head and '\n# Expect: ' in head


@pytest.mark.parametrize('stem', EVERY)
def test_no_weights_are_scored_that_were_not_named(stem):
    cfg = read_evaluation(*stem.split('_'))
    init_default_scope('mmseg')
    setting = 'model.model' if stem in COVERINGS else 'model.backbone.model'
    with pytest.raises(ValueError, match=rf'tools/evaluate\.py MODEL .*--cfg-options {setting}='):
        MODELS.build(cfg.model)


@pytest.mark.parametrize('protocol', ['linear-leopart', 'linear-mmseg', 'retrieval-hsg'])
@pytest.mark.parametrize('backbone', ['random:resnet18', 'random:deit-tiny/8', 'rgb'])
def test_width_and_padding_are_those_of_the_backbone(protocol, backbone):
    """Once they were the config's, and another backbone than its own failed in the first step."""
    cfg = read_evaluation(protocol, 'voc')
    cfg.model.backbone.model = backbone
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    named = PretrainedBackbone(backbone, resnet_stride=cfg.model.backbone.get('resnet_stride'))
    assert model.data_preprocessor.test_cfg == dict(size_divisor=named.stride)
    if protocol != 'retrieval-hsg':
        assert model.decode_head.conv_seg.in_channels == named.channels


@pytest.mark.parametrize(
    'protocol',
    ['clustering-leopart', 'knn-patch', 'linear-cached', 'linear-leopart', 'linear-mmseg'],
)
def test_the_image_size_is_one_setting(protocol):
    usual, other = (repr(read_evaluation(protocol, 'voc', size).to_dict()) for size in (None, 224))
    assert usual.count('448') >= 5
    assert other == usual.replace('448', '224')


def test_every_protocol_runs_here_and_has_a_file_to_inherit_from():
    assert set(DATA_OF) == {stem.split('_')[0] for stem in FILES}
    assert {*DATA_OF, 'davis', 'davis-dinov3'} == set(protocol_names())


def test_linear_leopart_trains_one_convolution_on_labels_of_100(drawn_roots, tmp_path):
    cfg = mini_config('linear-leopart', 'voc', drawn_roots['voc'], tmp_path, image_size=448)
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
    cfg = mini_config('linear-leopart', 'voc', drawn_roots['voc'], tmp_path, image_size=448)
    init_default_scope('mmseg')
    data = DATASETS.build(cfg.val_dataloader.dataset)[0]
    prediction = MODELS.build(cfg.model).val_step(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )[0]
    assert prediction.pred_sem_seg.shape == prediction.gt_sem_seg.shape == (448, 448)


def test_linear_evaluation_on_coco_takes_a_tenth_of_the_images(drawn_roots):
    for data in ('coco-things', 'coco-stuff'):
        cfg = read_evaluation('linear-leopart', data)
        assert cfg.train_dataloader.dataset.fraction == 0.1
        settings = dict(cfg.train_dataloader.dataset, data_root=str(drawn_roots[data]))
        init_default_scope('mmseg')
        assert len(DATASETS.build(settings)) == 1  # of 3, rounded up
        assert len(DATASETS.build(dict(settings, fraction=1.0))) == 3


def test_published_settings():
    linear = read_evaluation('linear-leopart', 'voc')
    assert linear.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4
    )
    assert linear.train_cfg.max_epochs == 25 and linear.param_scheduler[0].milestones == [20]
    assert linear.train_dataloader.batch_size == linear.auto_scale_lr.base_batch_size == 120
    linear.model.backbone.model = 'rgb'
    init_default_scope('mmseg')
    assert MODELS.build(linear.model).decode_head.loss_decode.avg_non_ignore
    metric = read_evaluation('clustering-leopart', 'voc').test_evaluator
    assert (metric.num_restarts, metric.num_iterations, metric.pca_dim, metric.map_size) == (
        5, 100, 50, 100,
    )  # fmt: skip
    assert len(metric.seeds) == 5 and metric.matching == 'hungarian' and metric.absent == 'zero'
    assert metric.algorithm == 'faiss'
    over = read_evaluation('overclustering-leopart', 'voc').test_evaluator
    assert (over.num_clusters, over.matching, over.algorithm) == (500, 'precision', 'faiss')


@pytest.mark.parametrize('data', ['voc', 'voc-animals'])
def test_clustering_is_clustering_leopart_but_for_its_kmeans(data):
    released, better = (
        read_evaluation(protocol, data).to_dict()
        for protocol in ('clustering-leopart', 'clustering')
    )
    for name in ('val_evaluator', 'test_evaluator'):
        released[name].update(protocol='clustering', algorithm='k-means++')
    assert better == released


@pytest.mark.parametrize('protocol', ['clustering-leopart', 'linear-leopart', 'linear-cached'])
def test_leoparts_images_and_masks_are_squashed_as_by_pillow(protocol, drawn_roots, tmp_path):
    """torchvision's Resize of Pillow's images: bilinear antialiased, nearest by pixel centres."""
    cfg = mini_config(protocol, 'voc', drawn_roots['voc'], tmp_path)
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
    cfg = read_evaluation(protocol, 'voc')
    cfg.model.backbone.model = 'random:resnet18'
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert model.extract_feat(torch.zeros(1, 3, 448, 448))[-1].shape[2:] == (28, 28)


def test_patch_probes_share_training_images_that_are_prepared_as_the_scored_ones():
    probes = [
        read_evaluation(name, 'voc') for name in ('knn-patch', 'logreg-patch', 'linear-joint')
    ]
    loaders = [cfg.test_evaluator.train_dataloader.to_dict() for cfg in probes]
    assert loaders[0] == loaders[1] == loaders[2]
    scored = probes[0].test_dataloader.dataset.to_dict()
    assert loaders[0]['dataset']['pipeline'] == scored['pipeline']
    assert loaders[0]['dataset']['ann_file'] != scored['ann_file']


def test_knn_and_logreg_choose_from_the_settings_of_the_release():
    init_default_scope('mmseg')
    knn = METRICS.build(read_evaluation('knn-patch', 'voc').test_evaluator)
    assert [tuple(each.values()) for each in knn.candidates] == [
        (distance, number) for distance in ('cosine', 'l2') for number in (1, 3, 10, 30)
    ]
    logreg = METRICS.build(read_evaluation('logreg-patch', 'voc').test_evaluator)
    strengths = [each['strength'] for each in logreg.candidates]
    np.testing.assert_allclose(strengths, 10 ** np.linspace(-6, 5, 8))


def test_linear_cached_is_linear_leopart_but_for_its_draws():
    for data in ('voc', 'voc-animals'):
        cached, linear = (
            read_evaluation(protocol, data) for protocol in ('linear-cached', 'linear-leopart')
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
        scored = linear.test_dataloader.dataset.pipeline
        assert cached.test_dataloader.dataset.pipeline == scored


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
    cfg = mini_config('retrieval-hsg', data_name, drawn_roots[data_name], tmp_path)
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
