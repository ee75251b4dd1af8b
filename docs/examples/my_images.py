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
# 40 epochs of 400 images are 480 iterations of 32. Of N images take about 16,000 / N epochs; the
# first lines of a run say how many iterations they are.
train_cfg = dict(max_epochs=40)
