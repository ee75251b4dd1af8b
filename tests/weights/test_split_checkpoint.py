"""Which names are checkpoints'."""

import pytest

from mmcroc.weights.checkpoint_file import split_checkpoint


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('a/b.pth', ('a/b.pth', '')),
        ('b.safetensors:student', ('b.safetensors', 'student')),
        ('C:/b.pth:backbone', ('C:/b.pth', 'backbone')),
        ('C:/b.ckpt', ('C:/b.ckpt', '')),
        ('timm:resnet50', None),
        ('timm:resnet50@weights.pth', None),
        ('hf:facebook/dinov2-small', None),
        ('random:deit-base/8', None),
    ],
)
def test_path_and_part_are_told_apart(name, found):
    assert split_checkpoint(name) == found


def test_other_parts_are_refused():
    with pytest.raises(ValueError, match=r"backbone, not 'head'"):
        split_checkpoint('dino.pth:head')
