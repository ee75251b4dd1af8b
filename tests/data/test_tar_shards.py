"""Images in tar shards: those of the folder that was packed, and shards that cannot be right."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from mmcroc.data import SampleIndex, TarShards, UnlabelledImages


@pytest.fixture
def packed(tmp_path):
    """Five drawn images in a folder, and in two shards beside captions."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'shards' / 'more').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        picture = Image.fromarray(rng.integers(0, 256, (9, 7 + number, 3), dtype=np.uint8))
        picture.save(tmp_path / 'images' / f'{number}.png')
    for name, numbers in (('00000.tar', (0, 1)), ('more/00001.tar', (2, 3, 4))):
        with tarfile.open(tmp_path / 'shards' / name, 'w') as file:
            for number in numbers:
                file.add(tmp_path / 'images' / f'{number}.png', f'a/{number}.png')
                member = tarfile.TarInfo(f'a/{number}.txt')
                member.size = 5
                file.addfile(member, io.BytesIO(b'a dog'))
    return tmp_path


def test_shards_give_the_images_of_the_folder_that_was_packed(packed):
    shards = TarShards(packed / 'shards')
    folder = UnlabelledImages(packed / 'images')
    assert len(shards) == 5
    for number in range(5):
        found, wanted = shards[SampleIndex(number, 0, 0)], folder[SampleIndex(number, 0, 0)]
        assert np.array_equal(found['img'], wanted['img'])
        assert found['img_path'].endswith(f'.tar/a/{number}.png')


def test_images_are_listed_once(packed):
    name = b'00000.tar/a/0.png'
    assert pickle.dumps(TarShards(packed / 'shards')).count(name) == 1


def test_several_folders_are_read(packed):
    assert len(TarShards(packed / 'shards', folders=['more', '.'])) == 3 + 5


def test_a_damaged_image_is_replaced_and_named(packed):
    path = packed / 'shards' / '00000.tar'
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as file:
        start = file.getmember('a/1.png').offset_data
    data[start : start + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match='00000.tar/a/1.png'):
        found = TarShards(packed / 'shards')[SampleIndex(1, 0, 0)]
    assert found['unreadable'][0][0].endswith('00000.tar/a/1.png')


def cut(path):
    with tarfile.open(path) as file:
        end = file.getmember('a/4.png').offset_data + 20
    path.write_bytes(path.read_bytes()[:end])


def compress(path):
    path.write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize('damage', [cut, compress])
def test_a_shard_that_is_not_whole_is_refused_by_name(packed, damage):
    damage(packed / 'shards' / 'more' / '00001.tar')
    with pytest.raises(ValueError, match=r'00001\.tar.*write it again'):
        TarShards(packed / 'shards')


def test_lists_and_folders_without_shards_are_refused(packed):
    (packed / 'list.txt').write_text('0\n')
    with pytest.raises(ValueError, match='whole shards'):
        TarShards(packed / 'shards', ann_file=str(packed / 'list.txt'))
    with pytest.raises(ValueError, match='No images'):
        TarShards(packed / 'images')
    with pytest.raises(ValueError, match=r'mmcroc\.TarShards'):
        UnlabelledImages(packed / 'shards')
