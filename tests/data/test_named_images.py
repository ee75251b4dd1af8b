"""Images that a tool works through."""

import pytest

from mmcroc.data.named_images import named_images
from tests.support.images import write_images


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
