"""The released implementation's training as a run of MMEngine's Runner."""

import ast
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmcroc.croc.algorithm import CrOC
from mmcroc.registry import DATASETS, MODELS
from mmcroc.weights.released_croc import convert_released_network


@DATASETS.register_module()
class RecordedViews(BaseDataset):
    """The recorded iterations' views: an epoch's samples are its own iterations' images in order.

    After the recorded iterations it starts again.

    Args:
        path: ``croc_training.npz``.
        batch: Take only so many images of each iteration.
    """

    def __init__(self, path, batch=None):
        with np.load(path) as arrays:
            self.arrays = {k: arrays[k] for k in arrays.files if k[-1].isdigit()}
            rec = ast.literal_eval(str(arrays['cfg']))
        self.batch = batch or rec['batch']
        self.iters_per_epoch = rec['iters_per_epoch']
        self.recorded = sum(name.startswith('view1_') for name in self.arrays)
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(index=i) for i in range(self.iters_per_epoch * self.batch)]

    def prepare_data(self, idx):
        iteration, image = divmod(int(idx), self.batch)
        iteration = (iteration + idx.epoch * self.iters_per_epoch) % self.recorded
        sample = DataSample(
            metainfo=dict(
                view_boxes=self.arrays[f'crop_boxes_{iteration}'][:, image],
                seeds=self.arrays[f'seed_tokens_{iteration}'][image],
            )
        )
        views = [torch.from_numpy(self.arrays[f'view{v}_{iteration}'][image]) for v in (1, 2)]
        return dict(inputs=views, data_samples=sample)


@MODELS.register_module()
class SeededCrOC(CrOC):
    """CrOC whose seed tokens come with the data samples; keeps its losses."""

    def loss(self, inputs, data_samples, view_boxes):
        seeds = torch.from_numpy(np.stack([sample.seeds for sample in data_samples]))
        seeds = seeds.to(inputs.device)
        losses = super().loss(inputs, data_samples, view_boxes, seeds)
        kept = {name: value.detach().clone() for name, value in losses.items()}
        self.history = [*getattr(self, 'history', []), kept]
        return losses


def recorded_config(path, work_dir, **overrides):
    """A config of the recorded training.

    Args:
        path: ``croc_training.npz``.
        work_dir: For logs.
        **overrides: Top-level fields to replace.

    Returns:
        Config dict and the recorded settings.
    """
    with np.load(path) as arrays:
        rec = SimpleNamespace(**ast.literal_eval(str(arrays['cfg'])))
    levels = dict(num_prototypes=rec.out_dim, num_cluster_prototypes=rec.out_dim_c)
    model = dict(
        type='mmcroc.SeededCrOC',
        backbone=dict(
            type='mmcroc.VisionTransformer',
            arch=dict(
                embed_dims=rec.dim,
                num_layers=rec.depth,
                num_heads=rec.heads,
                feedforward_channels=4 * rec.dim,
            ),
            img_size=rec.image,
            patch_size=rec.patch,
            norm_cfg=dict(type='LN', eps=rec.layer_norm_eps),
        ),
        neck=dict(
            type='mmcroc.CrOCNeck',
            in_channels=rec.dim,
            hidden_channels=rec.hidden_dim,
            bottleneck_channels=rec.bottleneck_dim,
            **levels,
        ),
        head=dict(
            type='mmcroc.CrOCHead',
            student_temperature=rec.student_temp,
            warmup_teacher_temperature=rec.teacher_temp[0],
            teacher_temperature=rec.teacher_temp[1],
            warmup_epochs=rec.teacher_temp_warmup_epochs,
            **levels,
        ),
        target_generator=dict(
            type='mmcroc.OnlineClustering',
            num_start_clusters=rec.start_clusters,
            max_clusters=rec.max_clusters,
        ),
        teacher_momentum=rec.momentum[0],
        end_teacher_momentum=rec.momentum[1],
        freeze_last_layer_epochs=rec.freeze_last_layer_epochs,
    )
    schedule = dict(end=rec.epochs, by_epoch=True, convert_to_iter_based=True)
    cfg = dict(
        default_scope='mmpretrain',
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=rec.batch,
            num_workers=0,
            dataset=dict(type='mmcroc.RecordedViews', path=str(path)),
            sampler=dict(type='mmcroc.EpochSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=rec.epochs),
        optim_wrapper=dict(
            type='mmcroc.SelfDistillOptimWrapper',
            constructor='mmcroc.GroupedOptimWrapperConstructor',
            optimizer=dict(
                type='AdamW', lr=rec.base_lr * rec.batch_for_lr_rule / 256, weight_decay=rec.wd[0]
            ),
            paramwise_cfg=dict(flat_decay_mult=0.0, norm_decay_mult=0.0, bias_decay_mult=0.0),
            max_tensor_norm=rec.clip_grad_per_tensor,
        ),
        param_scheduler=[
            dict(
                type='mmcroc.WarmupCosineLR',
                warmup=rec.lr_warmup_epochs,
                end_value=rec.min_lr,
                **schedule,
            ),
            dict(type='mmcroc.WarmupCosineWeightDecay', end_value=rec.wd[1], **schedule),
        ],
        default_hooks=dict(
            runtime_info=dict(type='mmcroc.DeferredRuntimeInfoHook'),
            timer=dict(type='mmcroc.ThroughputTimerHook'),
            param_scheduler=dict(type='mmcroc.OptimStepSchedulerHook'),
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=None,
        ),
        randomness=dict(seed=0),
        log_level='WARNING',
        experiment_name=f'recorded_{abs(hash(str(work_dir)))}',
    )
    cfg.update(overrides)
    return cfg, rec


def released_state(path, group):
    """Weights of one group (``init``, ``final_student``, ...) under our names."""
    with np.load(path) as arrays:
        names = [name for name in arrays.files if name.startswith(f'{group}/')]
        state = {n.removeprefix(f'{group}/'): torch.from_numpy(arrays[n]) for n in names}
    return convert_released_network(state)


def recorded_runner(path, work_dir, **overrides):
    """A Runner of the recorded training with the recorded initial weights."""
    cfg, rec = recorded_config(path, work_dir, **overrides)
    runner = Runner.from_cfg(cfg)
    state = released_state(path, 'init')
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(m.startswith(('teacher.', 'head.', 'data_preprocessor.')) for m in missing), missing
    model.copy_student_to_teacher()
    model.init_weights = lambda: None  # keep the recorded start
    return runner, rec
