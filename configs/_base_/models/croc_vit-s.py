# CrOC on ViT-S/16 with the settings of the authors' release, except the numbers of clusters: the
# release's defaults (5 seeds, at most 4 clusters) are not the paper's, and which values each of
# its runs used is not published. 12 and 12 is our reading.
model = dict(
    type='mmcroc.CrOC',
    backbone=dict(
        type='mmcroc.VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
    ),
    neck=dict(
        type='mmcroc.CrOCNeck',
        in_channels=384,
        hidden_channels=2048,
        bottleneck_channels=256,
        num_prototypes=65536,
        num_cluster_prototypes=8192,
    ),
    head=dict(
        type='mmcroc.CrOCHead',
        num_prototypes=65536,
        num_cluster_prototypes=8192,
        cluster_loss_weight=1.0,
        student_temperature=0.1,
        teacher_temperature=0.04,
    ),
    target_generator=dict(
        type='mmcroc.OnlineClustering',
        feature='k',
        num_start_clusters=12,
        max_clusters=12,
        position_weight=4.0,
        sinkhorn_reg=20.0,
        sinkhorn_iterations=5,
    ),
    teacher_momentum=0.996,  # rising to 1
    freeze_last_layer_epochs=1,
)
