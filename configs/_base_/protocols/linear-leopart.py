# Protocol linear-leopart: one 1x1 convolution on frozen tokens of 448x448 images. Training: random
# crops of scale 0.8-1, flips, tokens (bilinear, after the convolution, which is the same) against
# masks at 100x100 (nearest), SGD, 25 epochs, a tenth of the learning rate after 20, batch 120 in
# all. Scored after every epoch on images squashed to 448x448: mean IoU over all classes, an absent
# one counting 0, of the last epoch and of the best.
_base_ = 'leopart.py'

model = dict(type='mmcroc.LinearSegmentor')
train_dataloader = dict(
    batch_size=120,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline={{_base_.train_pipeline}}),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
custom_hooks = [dict(type='mmcroc.NumClassesCheckHook')]
auto_scale_lr = dict(enable=False, base_batch_size=120)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=1)
param_scheduler = [dict(type='MultiStepLR', milestones=[20], gamma=0.1, by_epoch=True)]
val_evaluator = dict(type='mmcroc.SegmentationIoU', protocol='linear-leopart', absent='zero')
test_evaluator = val_evaluator
