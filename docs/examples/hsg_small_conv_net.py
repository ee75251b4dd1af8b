# HSG with a backbone of one's own, on drawn scenes.
_base_ = 'mmcroc::hsg_r18_scenes.py'

custom_imports = dict(imports=['small_conv_net'], allow_failed_imports=False)
model = dict(
    backbone=dict(_delete_=True, type='SmallConvNet', channels=64),
    neck=dict(in_channels=64),
)
