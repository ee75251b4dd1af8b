# The control of croc_vit-s14_folder_post-dinov2: same start, images, steps and recipe, without the
# cluster level (DINO on two views). What to expect depends on start and images:
# docs/post-training.md.
_base_ = 'croc_vit-s14_folder_post-dinov2.py'

model = dict(
    neck=dict(num_cluster_prototypes=0),
    head=dict(num_cluster_prototypes=0),
    target_generator=None,
)
