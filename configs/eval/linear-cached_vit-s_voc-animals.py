# linear-cached, ViT-S/16, 222 validation images, 7 classes; tokens of 3,131 images, 2 draws,
# take 3.6 GiB of main memory.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/voc-animals.py',
    '../_base_/protocols/linear-cached.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = dict(
    train_dataloader=dict(
        batch_size=16,
        num_workers=8,
        dataset={{_base_.train_dataloader.dataset}},
    ),
    train_pipeline={{_base_.train_pipeline}},
)
test_evaluator = val_evaluator
# What is trained, the metric trains.
train_dataloader = None
