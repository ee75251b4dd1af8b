# The ResNet-50 of hsg_r50.py for inference: stride 8, the same weights. Stage 4 is dilated by
# 1, 2, 2, ..., stage 5 by 2, 8, 16.
_base_ = 'hsg_r50.py'

model = dict(
    backbone=dict(
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 2),
        contract_dilation=True,
        multi_grid=(2, 8, 16),
    )
)
