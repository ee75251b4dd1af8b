"""Folders of images, without labels."""

import os
import shutil

import numpy as np
import pytest

from mmcroc.data.image_reading import UnreadableImageError, read_image
from mmcroc.data.sample_seed import SampleIndex
from mmcroc.data.unlabelled import UnlabelledImages, named_images
from tests.support.images import truncate, write_images


def names(dataset):
    root = dataset.data_root
    return [
        os.path.relpath(dataset.get_data_info(i)['img_path'], root) for i in range(len(dataset))
    ]


def test_nested_folders_are_scanned_sorted_without_hidden_files(tmp_path):
    write_images(tmp_path, ['b/z.PNG', 'b/a/x.jpeg', 'a.JPG', 'c.webp', '.hidden/y.jpg'])
    (tmp_path / '._a.jpg').touch()
    (tmp_path / 'notes.txt').touch()
    assert names(UnlabelledImages(tmp_path)) == ['a.JPG', 'b/a/x.jpeg', 'b/z.PNG', 'c.webp']


def test_several_folders_relative_and_absolute(tmp_path):
    write_images(tmp_path, ['train/a.jpg', 'extra/b.jpg', 'unused/c.jpg'])
    dataset = UnlabelledImages(tmp_path, folders=['train', str(tmp_path / 'extra')])
    assert names(dataset) == ['train/a.jpg', 'extra/b.jpg']


def test_scan_tells_how_many_images_where(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmcroc.data.unlabelled.print_log', lambda msg, **_: lines.append(msg))
    write_images(tmp_path, ['train/a.jpg', 'train/b.jpg', 'extra/b.jpg'])
    UnlabelledImages(tmp_path, folders=['train', 'extra'])
    assert len(lines) == 1
    assert '3 images' in lines[0] and f'2 in {tmp_path}/train' in lines[0]


def test_the_digest_of_names_is_of_what_lies_below_the_folders(tmp_path):
    write_images(tmp_path, ['one/a.jpg', 'one/b/c.jpg'])
    shutil.copytree(tmp_path / 'one', tmp_path / 'two')
    digest = UnlabelledImages(tmp_path / 'one').names_digest
    for same in (UnlabelledImages(f'{tmp_path}/two/'), UnlabelledImages(tmp_path, folders=['two'])):
        assert same.names_digest == digest
    (tmp_path / 'two' / 'b').rename(tmp_path / 'two' / 'bc')
    (tmp_path / 'list.txt').write_text('b/c\na\n')
    others = [
        UnlabelledImages(tmp_path / 'two'),
        UnlabelledImages(tmp_path, folders=['one/b', 'one']),
        UnlabelledImages(tmp_path / 'one', ann_file=str(tmp_path / 'list.txt')),  # another order
    ]
    assert len({digest, *(other.names_digest for other in others)}) == 4


def test_list_with_and_without_suffix(tmp_path):
    write_images(tmp_path, ['JPEGImages/a.jpg', 'JPEGImages/b.png', 'JPEGImages/c.jpg'])
    (tmp_path / 'list.txt').write_text('c\nb.png\n\n')
    dataset = UnlabelledImages(tmp_path, folders=['JPEGImages'], ann_file='list.txt')
    assert names(dataset) == ['JPEGImages/c.jpg', 'JPEGImages/b.png']


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        (dict(data_root='nowhere'), FileNotFoundError, "data_root='.*nowhere'"),
        (dict(folders=['nowhere']), FileNotFoundError, "folders: '.*nowhere'"),
        (dict(folders=['empty']), ValueError, "No images in '.*empty'.*folders"),
        (dict(ann_file='nowhere.txt'), FileNotFoundError, "ann_file='.*nowhere.txt'"),
        (dict(ann_file='empty.txt'), ValueError, "ann_file='.*empty.txt' names no image"),
        (dict(ann_file='wrong.txt'), FileNotFoundError, "names '.*absent.jpg'.*img_suffix"),
        (dict(ann_file='wrong.txt', folders=['a', 'empty']), ValueError, 'one folder'),
    ],
)
def test_wrong_settings_are_named(tmp_path, kwargs, error, message):
    write_images(tmp_path, ['a/a.jpg'])
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.txt').touch()
    (tmp_path / 'wrong.txt').write_text('a/a.jpg\nabsent\n')
    kwargs = dict(kwargs, data_root=str(tmp_path / kwargs.get('data_root', '')))
    with pytest.raises(error, match=message):
        UnlabelledImages(**kwargs)


def test_sample_has_the_image_and_its_facts(tmp_path):
    write_images(tmp_path, ['a.png', 'b.png'], height=20, width=30)
    sample = UnlabelledImages(tmp_path)[1]
    np.testing.assert_array_equal(sample['img'], read_image(tmp_path / 'b.png'))
    assert sample['img_path'] == str(tmp_path / 'b.png')
    assert sample['sample_idx'] == 1
    assert sample['img_shape'] == sample['ori_shape'] == (20, 30)
    assert sample['unreadable'] == ()


@pytest.mark.filterwarnings('ignore:Cannot read')
def test_unreadable_image_is_replaced_and_reported(tmp_path):
    write_images(tmp_path, [f'{i}.jpg' for i in range(9)])
    truncate(tmp_path / '4.jpg')
    dataset = UnlabelledImages(tmp_path)
    sample = dataset[SampleIndex(4, 0, 0)]
    ((path, reason),) = sample['unreadable'][:1]
    assert path == str(tmp_path / '4.jpg') and 'truncated' in reason.lower()
    assert sample['img_path'] != path
    again = dataset[SampleIndex(4, 0, 0)]
    assert again['img_path'] == sample['img_path']
    others = {dataset[SampleIndex(4, 0, epoch)]['img_path'] for epoch in range(12)}
    assert len(others) > 1, 'another epoch takes another replacement'


def test_replacement_warns(tmp_path):
    write_images(tmp_path, ['a.jpg', 'b.jpg', 'c.jpg'])
    truncate(tmp_path / 'a.jpg')
    with pytest.warns(UserWarning, match=r'a\.jpg.*takes its place'):
        UnlabelledImages(tmp_path)[0]


def test_unreadable_image_raises_when_it_may_not_be_replaced(tmp_path):
    write_images(tmp_path, ['a.jpg', 'b.jpg'])
    truncate(tmp_path / 'a.jpg')
    dataset = UnlabelledImages(tmp_path, replace_unreadable=False)
    with pytest.raises(UnreadableImageError, match=r'a\.jpg'):
        dataset[0]


@pytest.mark.filterwarnings('ignore:Cannot read')
def test_many_unreadable_images_in_a_row_raise(tmp_path):
    write_images(tmp_path, ['a.jpg', 'b.jpg'])
    shutil.copy(tmp_path / 'a.jpg', tmp_path / 'c.jpg')
    for name in 'abc':
        truncate(tmp_path / f'{name}.jpg')
    with pytest.raises(UnreadableImageError, match=r'(?si)in a row.*\.jpg: .*truncated'):
        UnlabelledImages(tmp_path)[0]


def test_a_folders_images_keep_their_place_and_a_single_ones_is_its_name(tmp_path):
    write_images(tmp_path, ['a.jpg', 'deep/er/b.webp', 'out/old.png'])
    named = named_images(tmp_path, tmp_path / 'out')
    assert [(str(p.relative_to(tmp_path)), str(n)) for p, n in named] == [
        ('a.jpg', 'a.png'),
        ('deep/er/b.webp', 'deep/er/b.png'),
    ]
    one = tmp_path / 'deep/er/b.webp'
    assert [(p, str(n)) for p, n in named_images(one, tmp_path / 'out')] == [(one, 'b.png')]


def test_no_images_and_two_of_one_name_are_named(tmp_path):
    with pytest.raises(ValueError, match='no images below'):
        named_images(tmp_path, tmp_path / 'out')
    write_images(tmp_path, ['a.jpg', 'a.png'])
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png would both become a\.png: rename'):
        named_images(tmp_path, tmp_path / 'out')
