# DINO with two global views, ViT-S/16, on COCO train2017: CrOC without its cluster level, the
# baseline. 118,287 images, 8 GPUs x 32, 300 epochs. No figure is published for this setting.
_base_ = 'croc_vit-s_coco.py'

model = dict(
    neck=dict(num_cluster_prototypes=0),
    head=dict(num_cluster_prototypes=0),
    target_generator=None,
)
