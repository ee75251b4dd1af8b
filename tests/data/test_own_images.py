"""A user's own images and masks: which belong together, the split, the classes, and bad masks."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.data.own_images import OwnImagesDataset, images_with_masks, split_pairs
from mmcroc.evaluation.data_sets import OwnImages
from tests.support.own_images import draw_own


def save_mask(path, value, mode='L'):
    Image.fromarray(np.full((64, 64), value, np.uint8)).convert(mode).save(path)


def test_masks_bear_their_images_names_whatever_the_suffix_and_the_depth(tmp_path):
    images, masks = draw_own(tmp_path, 3)
    for folder in (images, masks):
        (folder / 'deep').mkdir()
    (images / '00.jpg').rename(images / 'deep' / '00.jpg')
    (masks / '00.png').rename(masks / 'deep' / '00.png')
    with Image.open(masks / '01.png') as mask:
        mask.save(masks / '01.tif')
    (masks / '01.png').unlink()
    (masks / '02.png').unlink()  # an image without a mask is left out
    pairs = images_with_masks(images, masks)
    assert pairs == [
        (f'{images}/01.jpg', f'{masks}/01.tif'), (f'{images}/deep/00.jpg', f'{masks}/deep/00.png'),
    ]  # fmt: skip


def test_the_split_is_whole_disjoint_and_a_function_of_the_seed(tmp_path):
    pairs = images_with_masks(*draw_own(tmp_path, 10))
    train, val = (split_pairs(pairs, split, 0.25, 0) for split in ('train', 'val'))
    assert sorted(train + val) == pairs and len(val) == 3
    assert train == sorted(train) and val == sorted(val)
    assert val == split_pairs(pairs, 'val', 0.25, 0) != split_pairs(pairs, 'val', 0.25, 1)
    for fraction, what in ((0, 'score'), (1, 'learn from')):
        with pytest.raises(ValueError, match=f'leaves nothing to {what}'):
            split_pairs(pairs, 'val', fraction, 0)


def test_classes_are_the_values_met_in_order(tmp_path):
    images, masks = draw_own(tmp_path, 4, values=(3, 7, 200))
    save_mask(masks / '00.png', 255)
    sets = OwnImages(images, masks).sets()
    assert sets['num_classes'] == 3
    assert sets['train_set']['metainfo'] == dict(classes=['3', '7', '200'])
    kind = sets['train_set'].pop('type')
    assert kind == 'mmcroc.OwnImagesDataset'
    info = OwnImagesDataset(**sets['train_set'])[0]
    assert info['label_map'] == {3: 0, 7: 1, 200: 2}


def test_classes_of_a_file_are_numbered_from_0(tmp_path):
    images, masks = draw_own(tmp_path, 4, values=(0, 2))
    names = tmp_path / 'classes.txt'
    names.write_text('grass\nroad\n\nhouse\n')
    own = OwnImages(images, masks, names)
    assert own.sets()['train_set']['metainfo'] == dict(classes=['grass', 'road', 'house'])
    assert OwnImages(images, masks, ['a', 'b', 'c']).sets()['num_classes'] == 3
    save_mask(masks / '02.png', 3)
    with pytest.raises(
        ValueError, match=r'02\.png holds 3: .*classes\.txt names 3 classes, 0 to 2'
    ):
        OwnImages(images, masks, names).sets()


def test_masks_that_are_no_masks_are_named(tmp_path):
    images, masks = draw_own(tmp_path, 4)
    save_mask(masks / '00.png', 3, 'RGB')
    (masks / '01.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match='2 of 4 masks cannot be used') as error:
        OwnImages(images, masks).sets()
    assert '00.png is a picture of mode RGB' in str(error.value) and '01.png' in str(error.value)
    for path in masks.iterdir():
        save_mask(path, 255)
    with pytest.raises(ValueError, match='all masks hold 255 alone'):
        OwnImages(images, masks).sets()


def test_folders_that_do_not_belong_together_are_named(tmp_path):
    images, masks = draw_own(tmp_path, 2)
    for path in masks.iterdir():
        path.rename(path.with_stem(path.stem + '_mask'))
    with pytest.raises(ValueError, match=r'no image of .* e\.g\. 00 and 00_mask'):
        OwnImages(images, masks).sets()
    (images / '00.jpeg').write_bytes((images / '00.jpg').read_bytes())
    with pytest.raises(ValueError, match='bear one name'):
        OwnImages(images, masks).sets()
    with pytest.raises(FileNotFoundError, match='masks: there is no folder'):
        OwnImages(images, tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match='classes: there is no file'):
        OwnImages(images, masks, tmp_path / 'none.txt')
