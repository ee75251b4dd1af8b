# CrOC with the small model of the demo, on a folder of one's own images: minutes on a CPU.
_base_ = 'mmcroc::croc_vit-t_scenes.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmcroc.UnlabelledImages',
        data_root='my_data/images',
        pipeline={{_base_.train_pipeline}},
    )
)
# The demo's probe is of drawn scenes.
val_dataloader = val_evaluator = val_cfg = None
# About 500 iterations, whatever the number of images: epochs = 500 * 32 / images.
train_cfg = dict(max_epochs=40)
