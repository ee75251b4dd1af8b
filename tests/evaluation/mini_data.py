"""Each data set's layout of files, with three drawn images per split."""

import numpy as np
from PIL import Image

NUMBER = 3
SIZE = (64, 48)  # width, height


def _images(seed, labels):
    """Images and masks of some labels, every one of them present."""
    rng = np.random.default_rng(seed)
    for _ in range(NUMBER):
        mask = rng.integers(0, len(labels), (6, 8))
        mask.flat[: len(labels)] = np.arange(len(labels))[: mask.size]
        colours = rng.integers(0, 256, (len(labels), 3))
        mask = mask.repeat(8, 0).repeat(8, 1)
        yield colours[mask].astype(np.uint8), np.asarray(labels, dtype=np.uint8)[mask]


def _write(seed, labels, image_path, mask_path):
    for i, (image, mask) in enumerate(_images(seed, labels)):
        for path, array in ((image_path, image), (mask_path, mask)):
            path = path.with_name(path.name.format(i))
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


def make_voc(root, labels=(0, 1, 8, 12, 15, 20, 255)):
    """Pascal VOC 2012; every split has masks in both folders."""
    for seed, split in enumerate(('train', 'val')):
        for folder in ('SegmentationClass', 'SegmentationClassAug'):
            name = split + '_{}'
            _write(seed, labels, root / 'JPEGImages' / f'{name}.jpg', root / folder / f'{name}.png')
        names = [f'{split}_{i}' for i in range(NUMBER)]
        for listed in ('trainaug', 'train') if split == 'train' else ('val',):
            path = root / 'ImageSets' / 'Segmentation' / f'{listed}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('\n'.join(names))


def make_coco(root):
    """COCO with MMSegmentation's pixel maps: things and stuff."""
    for seed, split in enumerate(('train2017', 'val2017')):
        _write(
            seed,
            (0, 1, 14, 60, 79, 80, 95, 120, 170, 255),
            root / split / '{:012d}.jpg',
            root / 'stuffthingmaps' / split / '{:012d}_labelTrainIds.png',
        )


def make_cityscapes(root):
    """Cityscapes with labelTrainIds."""
    for seed, split in enumerate(('train', 'val')):
        _write(
            seed,
            (*range(19), 255),
            root / 'leftImg8bit' / split / 'town' / 'town_{}_leftImg8bit.png',
            root / 'gtFine' / split / 'town' / 'town_{}_gtFine_labelTrainIds.png',
        )


def make_kitti_step(root):
    """KITTI-STEP as converted."""
    for seed, split in enumerate(('train', 'val')):
        image, mask = (root / f / split / '0000' / '{:06d}.png' for f in ('img_dir', 'ann_dir'))
        _write(seed, (*range(19), 255), image, mask)


MAKERS = {
    'voc': make_voc,
    'voc-animals': make_voc,
    'coco-things': make_coco,
    'coco-stuff': make_coco,
    'cityscapes': make_cityscapes,
    'kitti-step': make_kitti_step,
}
