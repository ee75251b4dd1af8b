# The tiny CrOC on a folder of images (`--data-root`).
_base_ = ['tiny_croc.py']

train_dataloader = dict(
    dataset=dict(_delete_=True, type='mmcroc.UnlabelledImages', pipeline={{_base_.train_pipeline}})
)
