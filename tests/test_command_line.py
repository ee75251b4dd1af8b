"""What tools know of a model's name before anything heavy is imported."""

import pytest

from mmcroc.command_line import mmpretrain_names, require_model


@pytest.mark.parametrize(
    'name',
    [
        'random', 'rgb', 'random:deit-base/8', 'timm:vit_small_patch16_224.dino', 'hf:org/model',
        'https://host/a.pth', '{here}', 'hf:{folder}', 'regions:{folder}', '{here}:student',
        'timm:vit_small_patch16_224@{here}',
    ],
)  # fmt: skip
def test_what_may_be_a_model_passes(name, tmp_path):
    (tmp_path / 'a.pth').touch()
    require_model(name.format(here=tmp_path / 'a.pth', folder=tmp_path))


def test_mmpretrains_names_pass():
    known = mmpretrain_names()
    assert {'resnet50_8xb32_in1k', 'regnetx-1.6gf_8xb128_in1k'} <= known
    require_model('regnetx-1.6gf_8xb128_in1k')


@pytest.mark.parametrize(
    'name',
    [
        'gone.pth',
        'gone.pth:teacher',
        'timm:vit_small_patch16_224@gone.pth',
        'hf:./gone',
        'a/b/gone',
    ],
)
def test_files_that_are_not_there_are_named(name):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*gone'):
        require_model(name)


@pytest.mark.parametrize('name', ['rbg', 'randm', 'resnet50_8xb32_in1'])
def test_other_words_are_no_model(name):
    with pytest.raises(ValueError, match='is no checkpoint, not timm:NAME'):
        require_model(name)
