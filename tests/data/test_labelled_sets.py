import pickle
import runpy
from pathlib import Path

import mmseg
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.datasets import CityscapesDataset, COCOStuffDataset
from PIL import Image

from mmcroc.data.label_names import STUFF, THINGS
from mmcroc.data.labelled_sets import RAW_OF_TRAIN_ID
from mmcroc.registry import DATASETS

LOADERS = ('mmseg.LoadAnnotations', 'mmcroc.LoadMappedAnnotations')
IDS = np.arange(256, dtype=np.uint8).reshape(16, 16)  # every label once


@pytest.fixture
def folder(tmp_path):
    """An image and a label map that holds every 8-bit label, under all the names in use."""
    (tmp_path / 'img').mkdir()
    (tmp_path / 'ann').mkdir()
    for suffix in ('.jpg', '.png', '_leftImg8bit.png'):
        Image.new('RGB', (16, 16)).save(tmp_path / 'img' / f'a{suffix}')
    for suffix in ('.png', '_labelTrainIds.png', '_gtFine_labelIds.png'):
        Image.fromarray(IDS).save(tmp_path / 'ann' / f'a{suffix}')
    (tmp_path / 'list.txt').write_text('a\n')
    return tmp_path


def build(folder, name, loader=LOADERS[0], **settings):
    return DATASETS.build(
        {
            'type': f'mmcroc.{name}',
            'data_root': str(folder),
            'ann_file': 'list.txt',
            'data_prefix': {'img_path': 'img', 'seg_map_path': 'ann'},
            'pipeline': [{'type': loader}],
            **settings,
        }
    )


def classes_of_labels(folder, name, loader=LOADERS[0], **settings):
    """The class name of every 8-bit label as the pipeline reads it, None where ignored."""
    dataset = build(folder, name, loader, **settings)
    classes = dataset.metainfo['classes']
    labels = dataset[0]['gt_seg_map'].flatten().tolist()
    return [None if label == 255 else classes[label] for label in labels]


@pytest.mark.parametrize('label_ids', ['train', 'raw', 'class'])
@pytest.mark.parametrize(
    'name', ['COCOThings12Dataset', 'COCOStuff15Dataset', 'COCOStuff27Dataset']
)
def test_both_loaders_read_the_same_labels(folder, name, label_ids):
    first, second = (
        build(folder, name, loader, label_ids=label_ids)[0]['gt_seg_map'] for loader in LOADERS
    )
    assert first.dtype == second.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_supercategories_of_some_labels_known_by_name(folder):
    known = {
        'person': 'person', 'bicycle': 'vehicle', 'boat': 'vehicle', 'bench': 'outdoor',
        'bird': 'animal', 'giraffe': 'animal', 'backpack': 'accessory', 'frisbee': 'sports',
        'tennis racket': 'sports', 'bottle': 'kitchen', 'bowl': 'kitchen', 'banana': 'food',
        'cake': 'food', 'chair': 'furniture', 'toilet': 'furniture', 'tv': 'electronic',
        'cell phone': 'electronic', 'microwave': 'appliance', 'refrigerator': 'appliance',
        'book': 'indoor', 'toothbrush': 'indoor', 'banner': 'textile', 'bridge': 'building',
        'bush': 'plant', 'cabinet': 'furniture-stuff', 'cardboard': 'raw-material',
        'clouds': 'sky', 'fruit': 'food-stuff', 'gravel': 'ground', 'mountain': 'solid',
        'railing': 'structural', 'sea': 'water', 'window-blind': 'window', 'wood': 'solid',
    }  # fmt: skip
    fine = COCOStuffDataset.METAINFO['classes']
    coarse = classes_of_labels(folder, 'COCOStuff27Dataset')
    assert {name: coarse[fine.index(name)] for name in known} == known
    for name, group in zip(fine, coarse[:171], strict=True):
        prefix = name.split('-')[0]
        if '-' in name and prefix in ('wall', 'floor', 'ceiling', 'sky', 'water', 'building'):
            assert group == prefix


def test_things_and_stuff_share_the_labels_between_them(folder):
    things = classes_of_labels(folder, 'COCOThings12Dataset')
    stuff = classes_of_labels(folder, 'COCOStuff15Dataset')
    both = classes_of_labels(folder, 'COCOStuff27Dataset')
    assert None not in things[:80] + stuff[80:171] + both[:171]
    assert things[:80] + stuff[80:171] == both[:171]
    assert set(things[80:] + stuff[:80] + both[171:]) == {None}
    assert set(things) == {*THINGS, None}
    assert set(stuff) == {*STUFF, None}


def test_raw_ids_are_mmsegmentations_train_ids_by_its_own_converter(folder):
    converter = Path(mmseg.__file__).parent / '.mim/tools/dataset_converters/coco_stuff164k.py'
    official = runpy.run_path(str(converter))['clsID_to_trID']
    assert official == {raw: train for train, raw in enumerate(RAW_OF_TRAIN_ID)} | {255: 255}
    for name in ('COCOThings12Dataset', 'COCOStuff15Dataset', 'COCOStuff27Dataset'):
        train = classes_of_labels(folder, name, label_ids='train')
        raw = classes_of_labels(folder, name, label_ids='raw')
        assert raw == [
            train[official[label]] if label in official else None for label in range(256)
        ]


def test_converted_classes_are_taken_as_they_are(folder):
    classes = classes_of_labels(folder, 'COCOThings12Dataset', label_ids='class')
    assert classes == [*THINGS, *([None] * 244)]


def test_cityscapes_27_are_label_ids_7_to_33(folder):
    classes = classes_of_labels(folder, 'Cityscapes27Dataset')
    assert {label for label in range(256) if classes[label]} == set(range(7, 34))
    some = {7: 'road', 9: 'parking', 11: 'building', 18: 'polegroup', 23: 'sky', 33: 'bicycle'}
    assert {label: classes[label] for label in some} == some
    # The benchmark's 19 have the colours they have in MMSegmentation.
    metainfo = build(folder, 'Cityscapes27Dataset').metainfo
    colours = dict(zip(metainfo['classes'], metainfo['palette'], strict=True))
    benchmark = CityscapesDataset.METAINFO
    for name, colour in zip(benchmark['classes'], benchmark['palette'], strict=True):
        assert colours[name] == colour


def test_voc_animals_are_seven_voc_classes(folder):
    classes = classes_of_labels(folder, 'VOCAnimalsDataset')
    assert {label: name for label, name in enumerate(classes) if name} == {
        0: 'background', 8: 'cat', 10: 'cow', 12: 'dog', 13: 'horse', 15: 'person', 17: 'sheep',
    }  # fmt: skip


def test_kitti_step_has_cityscapes_train_ids(folder):
    dataset = build(folder, 'KITTISTEPDataset')
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], IDS)
    assert dataset.metainfo['classes'] == CityscapesDataset.METAINFO['classes']


@pytest.mark.parametrize('loader', LOADERS)
def test_selected_classes_are_mapped_and_keep_their_colours(folder, loader):
    selected = ('person', 'dog')
    settings = {'metainfo': {'classes': selected}}
    classes = classes_of_labels(folder, 'VOCAnimalsDataset', loader, **settings)
    found = {label: name for label, name in enumerate(classes) if name}
    assert found == {12: 'dog', 15: 'person'}
    assert build(folder, 'VOCAnimalsDataset', **settings).metainfo['palette'] == [
        [192, 128, 128], [64, 0, 128],
    ]  # fmt: skip


def test_fast_loader_keeps_zero_label_reduction(folder):
    first, second = (
        build(folder, 'KITTISTEPDataset', loader, reduce_zero_label=True)[0]['gt_seg_map']
        for loader in LOADERS
    )
    assert first[0, 0] == 255
    np.testing.assert_array_equal(first, second)


def test_samples_do_not_store_the_label_map(folder):
    dataset = build(folder, 'COCOStuff27Dataset')
    assert len(pickle.dumps(dataset.load_data_list()[0])) < 500
    assert len(dataset.get_data_info(0)['label_map']) > 200


def test_unknown_label_ids_are_refused_by_name(folder):
    with pytest.raises(ValueError, match=r"COCOThings12Dataset: label_ids .* got 'panoptic'"):
        build(folder, 'COCOThings12Dataset', label_ids='panoptic')


def test_map_of_another_size_than_its_image_is_refused_by_name(folder):
    Image.new('RGB', (16, 17)).save(folder / 'img' / 'a.png')
    pipeline = [{'type': 'LoadImageFromFile'}, {'type': LOADERS[1]}]
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = build(folder, 'KITTISTEPDataset', pipeline=pipeline)
    with pytest.raises(ValueError, match=r'ann/a\.png is \(16, 16\), its image .*img/a\.png'):
        dataset[0]


def test_a_fraction_of_coco_is_always_the_same_and_no_other_than_asked(folder):
    (folder / 'list.txt').write_text('\n'.join(str(i) for i in range(50)))

    def names(fraction):
        dataset = build(folder, 'COCOStuff15Dataset', fraction=fraction, pipeline=[])
        return [Path(dataset[i]['img_path']).stem for i in range(len(dataset))]

    tenth = names(0.1)
    assert len(tenth) == 5 and tenth == names(0.1) and set(tenth) < set(names(1.0))
    assert tenth != names(1.0)[:5]
    with pytest.raises(ValueError, match='fraction'):
        names(0)
