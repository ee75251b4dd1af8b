"""Every data set reads, pixel for pixel, the classes its files hold as downloaded."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmcroc.evaluation.data_sets import data_with
from mmcroc.registry import DATASETS
from tests.support.paths import CONFIGS

LOADERS = ('LoadAnnotations', 'mmcroc.LoadMappedAnnotations')
IGNORE = 255

# Tables of the data sets' own papers and scripts: class by label.
VOC = {label: label for label in range(21)}
VOC_ANIMALS = {0: 0, 8: 1, 10: 2, 12: 3, 13: 4, 15: 5, 17: 6}
CITYSCAPES_19 = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12,
    26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip
CITYSCAPES_27 = {label: label - 7 for label in range(7, 34)}
KITTI_STEP = {label: label for label in range(19)}
THINGS = {  # first and last category id of COCO's super-categories
    'person': (1, 1), 'vehicle': (2, 9), 'outdoor': (10, 15), 'animal': (16, 25),
    'accessory': (26, 33), 'sports': (34, 43), 'kitchen': (44, 51), 'food': (52, 61),
    'furniture': (62, 71), 'electronic': (72, 77), 'appliance': (78, 83), 'indoor': (84, 91),
}  # fmt: skip
COCO_THINGS = {
    category - 1: index
    for index, name in enumerate(sorted(THINGS))
    for category in range(THINGS[name][0], THINGS[name][1] + 1)
}
COCO_STUFF = dict(enumerate((  # COCO-Stuff's labels 91-181
    11, 11, 6, 0, 0, 6, 4, 10, 7, 2, 1, 1, 11, 11, 8, 4, 4, 11, 4, 5, 4, 10, 2, 2, 2, 2, 2, 6, 13,
    3, 3, 4, 6, 5, 5, 9, 0, 6, 4, 11, 7, 4, 6, 9, 5, 11, 10, 7, 5, 11, 6, 7, 5, 5, 10, 5, 13, 5, 9,
    0, 11, 3, 5, 13, 4, 8, 0, 5, 9, 4, 9, 6, 10, 4, 0, 11, 11, 6, 3, 12, 12, 12, 12, 12, 12, 12,
    13, 13, 14, 14, 9,
), start=91))  # fmt: skip
COCO_27 = COCO_THINGS | {label: 12 + index for label, index in COCO_STUFF.items()}


def voc_files(downloads, split):
    """Masks in the order of the split's list."""
    root = downloads / 'VOCdevkit' / 'VOC2012'
    name, folder = {
        'train': ('trainaug', 'SegmentationClassAug'),
        'val': ('val', 'SegmentationClass'),
    }[split]
    names = (root / 'ImageSets' / 'Segmentation' / f'{name}.txt').read_text().split()
    return [root / folder / f'{name}.png' for name in names]


def animal_files(downloads, split):
    """As VOC's, all in one folder."""
    folder = downloads / 'VOCdevkit' / 'VOC2012' / 'SegmentationClassAug'
    return [folder / path.name for path in voc_files(downloads, split)]


def files(pattern):
    return lambda downloads, split: sorted(downloads.glob(pattern.format(split)))


COCO_FILES = files('coco/stuffthingmaps/{}2017/*.png')
CITYSCAPES_FILES = files('cityscapes/gtFine/{}/*/*_labelIds.png')
SOURCES = {
    'voc': (voc_files, VOC),
    'voc-animals': (animal_files, VOC_ANIMALS),
    'coco-things': (COCO_FILES, COCO_THINGS),
    'coco-stuff': (COCO_FILES, COCO_STUFF),
    'coco-stuff27': (COCO_FILES, COCO_27),
    'cityscapes': (CITYSCAPES_FILES, CITYSCAPES_19),
    'cityscapes27': (CITYSCAPES_FILES, CITYSCAPES_27),
    'kitti-step': (files('kitti_step/panoptic_maps/{}/*/*.png'), KITTI_STEP),
}


def count_files(paths, table):
    """Pixels per class of files as downloaded, the first channel: (images, 256)."""
    counts = np.zeros((len(paths), 256), int)
    for row, path in zip(counts, paths, strict=True):
        labels = np.asarray(Image.open(path))
        labels = labels if labels.ndim == 2 else labels[..., 0]
        for label, number in zip(*np.unique(labels, return_counts=True), strict=True):
            row[table.get(int(label), IGNORE)] += number
    return counts


def count_samples(name, split, data_root, loader=LOADERS[1], **settings):
    """Pixels per class as the config's data set gives them: (images, 256)."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{name}.py')
    cfg = cfg[f'{split}_set']
    cfg.update(
        data_root=str(data_root),
        pipeline=[dict(type='LoadImageFromFile'), dict(type=loader)],
        **settings,
    )
    if 'fraction' in cfg:
        cfg.fraction = 1.0
    samples = DATASETS.build(cfg)
    counts = [np.bincount(sample['gt_seg_map'].flat, minlength=256) for sample in samples]
    return np.stack(counts)


def test_each_data_set_for_evaluation_is_here():
    elsewhere = {'ade20k', 'ade20k151', 'pascal-context', 'pascal-context59'}  # test_data_configs
    assert set(data_with('val_set')) - elsewhere == set(SOURCES)


@pytest.mark.parametrize('loader', LOADERS)
@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', SOURCES)
def test_pixels_per_class_are_those_of_the_files(data, name, split, loader):
    downloads, roots = data
    find, table = SOURCES[name]
    want = count_files(find(downloads, split), table)
    np.testing.assert_array_equal(count_samples(name, split, roots[name], loader), want)
    assert (want[:, :IGNORE].sum(0) > 0).sum() >= 3  # something was compared


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', ['coco-things', 'coco-stuff', 'coco-stuff27'])
def test_coco_pixel_maps_can_be_read_as_downloaded(data, name, split):
    downloads, _ = data
    find, table = SOURCES[name]
    counts = count_samples(name, split, downloads / 'coco', label_ids='raw')
    np.testing.assert_array_equal(counts, count_files(find(downloads, split), table))


def count_panoptic(downloads, split, classes):
    """Pixels per class of COCO's panoptic masks, by their own super-categories: (images, 256)."""
    path = downloads / 'coco' / 'annotations' / f'panoptic_{split}2017.json'
    content = json.loads(path.read_text())
    names = {entry['id']: entry['supercategory'] for entry in content['categories']}
    entries = sorted(content['annotations'], key=lambda entry: entry['file_name'])
    counts = np.zeros((len(entries), 256), int)
    for row, entry in zip(counts, entries, strict=True):
        red, green, blue = np.asarray(
            Image.open(path.with_suffix('') / entry['file_name']), dtype=int
        ).transpose(2, 0, 1)
        ids = red + 256 * green + 256**2 * blue
        for segment in entry['segments_info']:
            name = names[segment['category_id']]
            number = (ids == segment['id']).sum()
            row[classes.index(name) if name in classes else IGNORE] += number
        row[IGNORE] += (ids == 0).sum()
    return counts


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize(
    ('name', 'converted'),
    [('coco-things', 'things12'), ('coco-stuff', 'stuff15'), ('coco-stuff27', 'stuff27')],
)
def test_converted_panoptic_masks_hold_their_super_categories(data, name, converted, split):
    downloads, roots = data
    prefix = dict(img_path=f'{split}2017', seg_map_path=f'{converted}_{split}2017')
    counts = count_samples(name, split, roots[name], label_ids='class', data_prefix=prefix)
    things, stuff = sorted(THINGS), (
        'building', 'ceiling', 'floor', 'food-stuff', 'furniture-stuff', 'ground', 'plant',
        'raw-material', 'sky', 'solid', 'structural', 'textile', 'wall', 'water', 'window',
    )  # fmt: skip
    classes = {'things12': things, 'stuff15': [*stuff], 'stuff27': [*things, *stuff]}[converted]
    np.testing.assert_array_equal(counts, count_panoptic(downloads, split, classes))
