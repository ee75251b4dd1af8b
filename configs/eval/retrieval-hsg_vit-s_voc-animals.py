# retrieval-hsg, ViT-S/16, 222 validation images, 7 classes; the memory: 3,131 training images.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/voc-animals.py',
    '../_base_/protocols/retrieval-hsg.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = dict(
    train_dataloader=dict(
        batch_size=8,
        num_workers=8,
        persistent_workers=True,
        dataset={{_base_.train_dataloader.dataset}},
    ),
    train_pipeline={{_base_.test_pipeline}},
)
test_evaluator = val_evaluator
# Nothing is trained.
train_dataloader = None
