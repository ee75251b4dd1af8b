# HSG on ResNet-50 with the settings of the authors' release. Training runs at stride 16, the last
# stage's three blocks dilated by 1, 4, 8; hsg_r50_stride8.py has the same weights at stride 8.
model = dict(
    type='mmcroc.HSG',
    backbone=dict(
        type='mmseg.ResNet',
        depth=50,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 1),
        multi_grid=(1, 4, 8),
        out_indices=(3,),
        zero_init_residual=False,  # every batch norm starts at 1; MMSegmentation's default: last 0
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    neck=dict(
        type='mmcroc.HSGNeck',
        in_channels=2048,
        hidden_channels=2048,
        out_channels=128,
        num_positions=50,
    ),
    head=dict(
        type='mmcroc.HSGHead',
        num_groups=[8, 4],
        transformer=dict(
            type='mmcroc.ClusteringTransformer',
            channels=128,
            num_heads=4,
            num_encoder_layers=2,
            num_decoder_layers=2,
            dropout=0.1,
        ),
        grid=(4, 4),
        kmeans_iterations=15,
        concentration=16.0,
    ),
)
