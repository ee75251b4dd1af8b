"""True regions as each data set stores them, from files to data samples."""

import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmcroc.registry import DATASETS

REGIONS = np.array([[1, 1, 2], [3, 3, 2]])
SIZE = REGIONS.shape


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_image(path, size=SIZE):
    write(path, np.zeros((*size, 3), np.uint8))


def build(loader, **cfg):
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type=loader), dict(type='mmcroc.PackRegions')]
    return DATASETS.build(dict(pipeline=pipeline, **cfg))


def regions_of(dataset, number=0):
    return dataset[number]['data_samples'].gt_regions.data.tolist()


@pytest.fixture
def bsds(tmp_path):
    for name, maps in (('100', [REGIONS, REGIONS + 1]), ('7', [REGIONS])):
        write_image(tmp_path / 'images' / 'val' / f'{name}.jpg')
        for annotator, regions in enumerate(maps):
            path = tmp_path / 'gt_regions' / 'val' / f'{name}_{annotator}.png'
            write(path, regions.astype(np.uint16))
    return tmp_path


def bsds_dataset(root, **kwargs):
    return build('mmcroc.LoadHumanRegions', type='mmcroc.BSDS500Regions', data_root=root, **kwargs)


def test_all_annotators_regions_are_loaded(bsds):
    dataset = bsds_dataset(bsds)
    assert len(dataset) == 2
    assert regions_of(dataset) == [REGIONS.tolist(), (REGIONS + 1).tolist()]
    assert regions_of(dataset, 1) == [REGIONS.tolist()]
    assert dataset[0]['data_samples'].img_path.endswith('100.jpg')


def test_an_image_without_a_map_is_named(bsds):
    write_image(bsds / 'images' / 'val' / '8.jpg')
    with pytest.raises(FileNotFoundError, match=r'1 of 3 images, such as 8\.jpg'):
        bsds_dataset(bsds)


def test_a_missing_folder_is_named(bsds):
    with pytest.raises(FileNotFoundError, match='images/test is not a folder'):
        bsds_dataset(bsds, split='test')
    (bsds / 'images' / 'train').mkdir()
    (bsds / 'gt_regions' / 'train').mkdir()
    with pytest.raises(FileNotFoundError, match='no images in'):
        bsds_dataset(bsds, split='train')


def test_a_map_of_another_size_or_kind_is_refused(bsds):
    write_image(bsds / 'images' / 'val' / '100.jpg', (3, 3))
    with pytest.raises(ValueError, match=r'100_0\.png is \(2, 3\), its image .*\(3, 3\)'):
        bsds_dataset(bsds)[0]
    write_image(bsds / 'gt_regions' / 'val' / '7_0.png')
    with pytest.raises(ValueError, match=r'7_0\.png is of mode RGB'):
        bsds_dataset(bsds)[1]


def test_cityscapes_instances_are_regions_and_groups_and_stuff_are_not(tmp_path):
    ids = np.array([[7, 24, 26000], [26001, 26001, 33000]])
    write_image(tmp_path / 'images' / 'town' / 'a_leftImg8bit.png')
    write(tmp_path / 'gt' / 'town' / 'a_gtFine_instanceIds.png', ids.astype(np.uint16))
    dataset = build(
        'mmcroc.LoadCityscapesInstances',
        type='mmseg.CityscapesDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='gt'),
        seg_map_suffix='_gtFine_instanceIds.png',
    )
    assert regions_of(dataset) == [[[0, 0, 26000], [26001, 26001, 33000]]]


def coco(root):
    """Two things, one crowd, one stuff; ids above 255 need more than the red channel."""
    ids = np.array([[300, 300, 0], [5, 70000, 9]])
    write_image(root / 'val2017' / '000001.jpg')
    mask = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)
    write(root / 'annotations' / 'panoptic_val2017' / '000001.png', mask)
    segments = [(300, 1, 0), (5, 1, 1), (70000, 1, 0), (9, 100, 0)]
    content = dict(
        categories=[dict(id=1, isthing=1), dict(id=100, isthing=0)],
        images=[dict(id=11, file_name='000001.jpg')],
        annotations=[
            dict(
                image_id=11,
                file_name='000001.png',
                segments_info=[dict(id=i, category_id=c, iscrowd=w) for i, c, w in segments],
            )
        ],
    )
    path = root / 'annotations' / 'panoptic_val2017.json'
    path.write_text(json.dumps(content))
    return path


def coco_dataset(root):
    return build(
        'mmcroc.LoadCOCOInstances',
        type='mmcroc.COCOPanopticRegions',
        data_root=str(root),
        ann_file='annotations/panoptic_val2017.json',
    )


def test_coco_things_are_regions_and_crowds_and_stuff_are_not(tmp_path):
    coco(tmp_path)
    assert regions_of(coco_dataset(tmp_path)) == [[[300, 300, 0], [0, 70000, 0]]]


def test_annotations_of_another_kind_are_refused(tmp_path):
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    del content['categories'][0]['isthing']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"panoptic_val2017\.json has no 'isthing'"):
        coco_dataset(tmp_path)
