"""Each data set's files as downloaded, with three drawn images per split; and as configs want them.

``draw_downloads`` lays out what a folder of real data (``MMCROC_DATA``) has to look like too.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.paths import TOOLS

NUMBER = 3
#: COCO's pixel maps hold category ids less 1; no label has these, and train ids skip them.
WITHDRAWN = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
TRAIN_ID_OF_RAW = {
    raw: train for train, raw in enumerate(raw for raw in range(182) if raw not in WITHDRAWN)
}
#: Label of the pixel maps: COCO's panoptic category with that label, and its super-category.
COCO_LABELS = {
    0: (1, 'person'), 1: (2, 'vehicle'), 15: (16, 'animal'), 66: (67, 'furniture'),
    89: (90, 'indoor'), 94: (95, 'building'), 106: (107, 'furniture-stuff'), 105: (187, 'sky'),
    147: (148, 'water'), 180: (181, 'window'),
}  # fmt: skip


def _pairs(seed, labels):
    """Images and masks of some labels, every one of them present."""
    rng = np.random.default_rng(seed)
    for _ in range(NUMBER):
        mask = rng.integers(0, len(labels), (6, 8))
        mask.flat[: len(labels)] = np.arange(len(labels))[: mask.size]
        colours = rng.integers(0, 256, (len(labels), 3))
        mask = mask.repeat(8, 0).repeat(8, 1)
        yield colours[mask], np.asarray(labels)[mask]


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(array)
    Image.fromarray(array if array.dtype == np.uint16 else array.astype(np.uint8)).save(path)


def make_voc(root, labels=(0, 1, 8, 12, 15, 20, 255)):
    """Pascal VOC 2012; every split has masks in both folders."""
    for seed, split in enumerate(('train', 'val')):
        names = [f'{split}_{i}' for i in range(NUMBER)]
        for name, (image, mask) in zip(names, _pairs(seed, labels), strict=True):
            _save(root / 'JPEGImages' / f'{name}.jpg', image)
            _save(root / 'SegmentationClass' / f'{name}.png', mask)
            _save(root / 'SegmentationClassAug' / f'{name}.png', mask)
        for listed in ('trainaug', 'train') if split == 'train' else ('val',):
            path = root / 'ImageSets' / 'Segmentation' / f'{listed}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('\n'.join(names))


def make_coco(root):
    """COCO: COCO-Stuff's pixel maps, every label in each, and panoptic masks."""
    categories = [
        dict(id=number, supercategory=name, isthing=int(number <= 90))
        for number, name in COCO_LABELS.values()
    ]
    segments = [
        dict(id=70_000 + label, category_id=COCO_LABELS[label][0], iscrowd=0)
        for label in COCO_LABELS
    ]
    for seed, split in enumerate(('train2017', 'val2017')):
        annotations = []
        for i, (image, mask) in enumerate(_pairs(seed, (*COCO_LABELS, 255))):
            name = f'{i:012d}'
            _save(root / split / f'{name}.jpg', image)
            every = mask.copy()
            every.flat[: len(TRAIN_ID_OF_RAW)] = list(TRAIN_ID_OF_RAW)
            _save(root / 'stuffthingmaps' / split / f'{name}.png', every)
            ids = np.where(mask == 255, 0, 70_000 + mask)
            masks = root / 'annotations' / f'panoptic_{split}'
            rgb = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1)
            _save(masks / f'{name}.png', rgb)
            annotation = dict(image_id=i, file_name=f'{name}.png', segments_info=segments)
            annotations.append(annotation)
        images = [dict(id=i, file_name=f'{i:012d}.jpg') for i in range(len(annotations))]
        content = dict(categories=categories, images=images, annotations=annotations)
        masks.with_suffix('.json').write_text(json.dumps(content))


def make_cityscapes(root):
    """Cityscapes with labelIds, and labelTrainIds as its scripts write them."""
    classes = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    train_ids = np.full(256, 255)
    train_ids[list(classes)] = range(19)
    for seed, split in enumerate(('train', 'val')):
        # Not all at once: there are more than a drawn image has parts.
        labels = (*classes, 0, 4, 6, 9, 10, 14, 15, 16, 18, 29, 30)
        for i, (image, mask) in enumerate(_pairs(seed, labels)):
            _save(root / 'leftImg8bit' / split / 'town' / f'town_{i}_leftImg8bit.png', image)
            start = root / 'gtFine' / split / 'town' / f'town_{i}_gtFine'
            _save(start.with_name(f'{start.name}_labelIds.png'), mask)
            _save(start.with_name(f'{start.name}_labelTrainIds.png'), train_ids[mask])
            instances = np.where(mask >= 24, mask * 1000, mask).astype(np.uint16)
            _save(start.with_name(f'{start.name}_instanceIds.png'), instances)


def make_kitti_step(root):
    """KITTI-STEP: panoptic maps, red the class, green and blue the instance."""
    rng = np.random.default_rng(0)
    for seed, (split, sequence) in enumerate((('train', '0000'), ('val', '0002'))):
        for i, (image, mask) in enumerate(_pairs(seed, (*range(19), 255))):
            _save(root / 'images' / split / sequence / f'{i:06d}.png', image)
            instances = rng.integers(0, 256, (*mask.shape, 2))
            panoptic = np.concatenate([mask[..., None], instances], -1)
            _save(root / 'panoptic_maps' / split / sequence / f'{i:06d}.png', panoptic)


def make_ade20k(root):
    """ADE20K: labels 0-150 in single-channel PNGs."""
    for seed, (split, short) in enumerate((('training', 'train'), ('validation', 'val'))):
        for i, (image, mask) in enumerate(_pairs(seed, (0, 1, 2, 77, 150))):
            name = f'ADE_{short}_{i:08d}'
            _save(root / 'images' / split / f'{name}.jpg', image)
            _save(root / 'annotations' / split / f'{name}.png', mask)


def make_pascal_context(root):
    """Pascal-Context as MMSegmentation's converter writes it: 0 is background, 1-59 the classes."""
    for seed, split in enumerate(('train', 'val')):
        names = [f'{split}_{i}' for i in range(NUMBER)]
        for name, (image, mask) in zip(names, _pairs(seed, (0, 1, 30, 59)), strict=True):
            _save(root / 'JPEGImages' / f'{name}.jpg', image)
            _save(root / 'SegmentationClassContext' / f'{name}.png', mask)
        path = root / 'ImageSets' / 'SegmentationContext' / f'{split}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(names))


def make_bsds(root):
    """BSDS500's val: two people's regions of each image, and over-segmentations."""
    for i, (image, mask) in enumerate(_pairs(0, (1, 2, 3, 4, 5))):
        _save(root / 'images' / 'val' / f'{i}.jpg', image)
        _save(root / 'gt_regions' / 'val' / f'{i}_0.png', mask)
        _save(root / 'gt_regions' / 'val' / f'{i}_1.png', mask.clip(max=2))
        _save(root / 'maps' / f'{i}.png', mask)


def draw_downloads(root):
    """All data sets, as downloaded."""
    make_voc(root / 'VOCdevkit' / 'VOC2012')
    make_coco(root / 'coco')
    make_cityscapes(root / 'cityscapes')
    make_kitti_step(root / 'kitti_step')
    make_ade20k(root / 'ade20k' / 'ADEChallengeData2016')
    make_bsds(root / 'bsds500')


def _convert(script, *arguments):
    """Run one of our converters in this process."""
    folder = str(TOOLS / 'dataset_converters')
    sys.path.insert(0, folder)
    try:
        runpy.run_path(f'{folder}/{script}')['main']([*map(str, arguments), '--nproc', '1'])
    except SystemExit as stop:
        assert not stop.code, (script, arguments)
    finally:
        sys.path.remove(folder)


def _prepare_coco(downloads, root):
    """Links, MMSegmentation's train ids, and classes of panoptic masks (things12_val2017, ...)."""
    table = np.full(256, 255)
    table[list(TRAIN_ID_OF_RAW)] = list(TRAIN_ID_OF_RAW.values())
    root.mkdir()
    for split in ('train2017', 'val2017'):
        (root / split).symlink_to(downloads / split)
        for path in (downloads / 'stuffthingmaps' / split).glob('*.png'):
            target = root / 'stuffthingmaps' / split / f'{path.stem}_labelTrainIds.png'
            _save(target, table[np.asarray(Image.open(path))])
        panoptic = downloads / 'annotations' / f'panoptic_{split}.json'
        for classes in ('things12', 'stuff15', 'stuff27'):
            out = root / f'{classes}_{split}'
            _convert('coco_panoptic.py', panoptic, '--classes', classes, '-o', out)


def prepare(downloads, root):
    """Make of downloads, left as they are, what the configs read; returns each one's data_root."""
    _prepare_coco(downloads / 'coco', root / 'coco')
    _convert('kitti_step.py', downloads / 'kitti_step', '-o', root / 'kitti_step')
    voc, cityscapes = downloads / 'VOCdevkit' / 'VOC2012', downloads / 'cityscapes'
    return {
        'voc': voc,
        'voc-animals': voc,
        'coco': downloads / 'coco',
        'coco-things': root / 'coco',
        'coco-stuff': root / 'coco',
        'coco-stuff27': root / 'coco',
        'cityscapes': cityscapes,
        'cityscapes27': cityscapes,
        'kitti-step': root / 'kitti_step',
        'ade20k151': downloads / 'ade20k' / 'ADEChallengeData2016',
        # Real images of it lie beside the others.
        'bsds': next(filter(Path.is_dir, (downloads / 'bsds500', downloads.parent / 'bsds500'))),
    }
