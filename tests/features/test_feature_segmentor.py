"""Models that hand out dense tokens."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcroc.registry import MODELS
from tests.support.croc_models import small_croc

TINY = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def segmentor(**backbone):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmcroc.FeatureSegmentor',
            backbone=backbone,
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        )
    )
    return model


def batch(*sizes):
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, *s))) for s in sizes]
    return dict(
        inputs=[torch.full((3, *s), 100 * i, dtype=torch.uint8) for i, s in enumerate(sizes)],
        data_samples=samples,
    )


@pytest.mark.parametrize(
    ('backbone', 'channels', 'stride'),
    [
        (dict(type='mmcroc.VisionTransformer', arch=TINY, img_size=64, patch_size=16), 24, 16),
        (dict(type='mmcroc.VisionTransformer', arch=TINY, img_size=64, patch_size=8), 24, 8),
        (
            dict(
                type='mmpretrain.VisionTransformer',
                arch=TINY,
                img_size=56,
                patch_size=14,
                out_type='featmap',
            ),
            24,
            14,
        ),
        (dict(type='mmpretrain.ResNet', depth=18), 512, 32),
        (dict(type='mmseg.ResNetV1c', depth=18, num_stages=4), 512, 32),
    ],
)
def test_any_backbone_and_any_input_size(backbone, channels, stride):
    """Sizes other than the backbone's own, not square."""
    model = segmentor(**backbone)
    samples = model.val_step(batch((3 * 2 * stride, 5 * 2 * stride), (6 * stride, 10 * stride)))
    assert [tuple(s.tokens.data.shape) for s in samples] == [(channels, 6, 10)] * 2
    assert samples[0].gt_sem_seg is not None and not samples[0].tokens.data.requires_grad
    assert not torch.equal(samples[0].tokens.data, samples[1].tokens.data)


def test_tokens_are_the_final_normed_ones_in_their_places():
    model = segmentor(type='mmcroc.VisionTransformer', arch=TINY, img_size=32, patch_size=8)
    images = torch.randn(2, 3, 32, 48)
    tokens = model(images)[0]
    raw = model.backbone(images)[-1]  # (B, 1 + n, C)
    torch.testing.assert_close(tokens[:, :, 1, 2], raw[:, 1 + 6 + 2])


def test_it_stays_frozen_in_training_mode():
    model = segmentor(
        type='mmcroc.VisionTransformer', arch=TINY, img_size=32, patch_size=8, drop_path_rate=0.9
    ).train()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(model(images)[0], model(images)[0])
    assert not any(module.training for module in model.modules())


def test_features_that_are_no_map_are_refused():
    model = segmentor(type='mmpretrain.VisionTransformer', arch=TINY, img_size=32, patch_size=8,
                      out_type='raw')  # fmt: skip
    with pytest.raises(ValueError, match='featmap'):
        model(torch.randn(1, 3, 32, 32))


def test_nothing_is_trained():
    with pytest.raises(NotImplementedError, match='EncoderDecoder'):
        segmentor(type='mmpretrain.ResNet', depth=18)(torch.zeros(1, 3, 32, 32), mode='loss')


def test_croc_validates_with_its_teachers_tokens():
    """Of validation batches as MMSegmentation packs them, normalised as training's are."""
    model = small_croc()
    for parameter in model.backbone.parameters():
        parameter.data.zero_()  # the student is not asked
    data = batch((32, 48), (32, 48))
    samples = model.val_step(data)
    images = (torch.stack(data['inputs']).float() - 50) / 10
    tokens = model.teacher['backbone'].forward_tapped(images).tokens
    for sample, want in zip(samples, tokens, strict=True):
        torch.testing.assert_close(sample.tokens.data.flatten(1).T, want)
    assert samples[0].gt_sem_seg.shape == (32, 48)


def test_images_of_unlike_sizes_in_a_batch_are_refused():
    with pytest.raises(ValueError, match='batch_size=1'):
        small_croc().val_step(batch((32, 48), (32, 32)))
