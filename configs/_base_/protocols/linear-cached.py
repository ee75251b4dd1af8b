# Protocol linear-cached: linear-leopart on two fixed crops of each training image, tokens kept.
# Head, schedule and scoring are the same, but every training image is sampled (crop, flip) twice in
# all instead of once per epoch. The tokens of these crops are kept in main memory (half precision;
# for VOC's 10,582 images and a ViT-S/16 12.3 GiB), so that the backbone sees 2 crops of an image
# instead of 25, and one pass serves three seeds: a head each, mean and spread.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.LinearHeadIoU',
    protocol='linear-cached',
    train_dataloader=dict(batch_size=16, num_workers=8),
    train_pipeline={{_base_.train_pipeline}},
    num_draws=2,
    num_epochs=25,
    batch_size=120,
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    milestones=[20],
    seeds=[0, 1, 2],
    absent='zero',
)
test_evaluator = val_evaluator
