"""Data samples as models hand them out, and small runs that evaluate."""

import torch
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

SCENES = dict(type='mmcroc.SyntheticScenes', image_size=48)
PIPELINE = [dict(type='mmseg.PackSegInputs')]
#: No multiple of two ranks or of any batch size used: the last batch is short, or padded.
NUM_IMAGES = 7


def sample(tokens, mask, name='image.png'):
    """A data sample as MMEngine's evaluator passes it to a metric."""
    return dict(
        tokens=dict(data=tokens),
        gt_sem_seg=dict(data=mask[None]),
        img_path=name,
        img_shape=tuple(mask.shape),
    )


class HandsOut(nn.Module):
    """A model that hands out given samples."""

    def val_step(self, batch):
        samples = []
        for given in batch:
            sample = SegDataSample(metainfo=dict(img_path=given['img_path']))
            sample.tokens = PixelData(data=given['tokens']['data'])
            sample.gt_sem_seg = PixelData(data=given['gt_sem_seg']['data'])
            samples.append(sample)
        return samples


class Loader(list):
    """A dataloader of given samples, one batch of all."""

    def __init__(self, samples):
        super().__init__([samples])
        self.dataset = samples


def loader(num_images, batch_size, split):
    """A dataloader of scenes; the metric that reads the training scenes brings its sampler."""
    cfg = dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dict(SCENES, num_images=num_images, split=split, pipeline=PIPELINE),
    )
    if split == 'val':
        cfg['sampler'] = dict(type='DefaultSampler', shuffle=False)
    return cfg


def clustering(**kwargs):
    settings = dict(num_restarts=2, seeds=[0, 1], map_size=24, protocol='clustering-test')
    return dict(type='mmcroc.ClusteringIoU', **{**settings, **kwargs})


def ridge(num_train_images=4):
    train = loader(num_train_images, 2, 'train')
    return dict(type='mmcroc.LinearRidgeIoU', train_dataloader=train)


def linear_heads(num_train_images=6, **kwargs):
    flip = [dict(type='mmseg.RandomFlip', prob=0.5)]
    settings = dict(num_draws=2, num_epochs=2, batch_size=3, lr=0.1, seeds=[0, 1])
    settings |= dict(train_dataloader=loader(num_train_images, 2, 'train'))
    settings |= dict(train_pipeline=flip + PIPELINE, protocol='linear-test')
    return dict(type='mmcroc.LinearHeadIoU', **{**settings, **kwargs})


def retrieval(num_train_images=4, **kwargs):
    settings = dict(grid=(3, 3), num_iterations=3, num_neighbours=5)
    train = loader(num_train_images, 2, 'train')
    settings = {**settings, 'train_dataloader': train, **kwargs}
    return dict(type='mmcroc.SegmentRetrievalIoU', protocol='retrieval-test', **settings)


def patch_probe(kind='KNNPatchIoU', num_train_images=6, **kwargs):
    """A probe of patches; some with few images to choose settings by."""
    settings = dict(
        KNNPatchIoU=dict(num_neighbours=[1, 5], protocol='knn-test'),
        LogregPatchIoU=dict(strengths=[1e-3, 1.0], protocol='logreg-test'),
        LinearJointIoU=dict(learning_rates=[0.01, 0.1], batch_size=40, protocol='joint-test'),
    )[kind]
    train = loader(num_train_images, 2, 'train')
    settings |= dict(train_dataloader=train, held_out=0.4, absent='zero')
    return dict(type=f'mmcroc.{kind}', **{**settings, **kwargs})


def scenes_runner(work_dir, metrics, batch_size=2, num_images=NUM_IMAGES, **kwargs):
    """A runner that validates a small random ViT on scenes."""
    torch.manual_seed(0)
    settings = dict(
        model=dict(
            type='mmcroc.FeatureSegmentor',
            backbone=dict(
                type='mmcroc.VisionTransformer',
                arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
                img_size=48,
                patch_size=8,
            ),
            data_preprocessor=dict(
                type='mmseg.SegDataPreProcessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
            ),
        ),
        work_dir=str(work_dir),
        val_dataloader=loader(num_images, batch_size, 'val'),
        val_evaluator=metrics,
        val_cfg=dict(),
        default_scope='mmseg',
        default_hooks=dict(fit_probes=dict(type='mmcroc.FitProbesHook')),
        log_level='WARNING',
        randomness=dict(seed=0),
        experiment_name=f'evaluation_{len(str(work_dir))}_{id(metrics)}',
    )
    return Runner(**{**settings, **kwargs})


def noisy_samples(number=6, classes=4, seed=0):
    """Tokens (8, 5, 7) that tell four classes apart, with noise, under masks (40, 56)."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 8, generator=generator) * 2
    samples = []
    for i in range(number):
        grid = torch.randint(classes, (5, 7), generator=generator)
        noise = torch.randn(8, 5, 7, generator=generator)
        mask = grid.repeat_interleave(8, 0).repeat_interleave(8, 1)
        mask[torch.rand(mask.shape, generator=generator) < 0.1] = 255
        samples.append(sample(centres[grid].permute(2, 0, 1) + noise, mask, f'{i}.png'))
    return samples
