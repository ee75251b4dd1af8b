# Probe while pretraining, on drawn scenes: validation scenes are other ones than training's, and
# labels serve the measuring alone. Inherit it beside a pretraining config and say how often:
# train_cfg = dict(val_interval=10). Numbers in percent:
#   clustering-probe  k-means of all validation tokens, K = classes, Hungarian match, mean IoU
#   linear-ridge      a linear classifier in closed form, fitted on the tokens of 100 scenes
# Both at the images' own size; they do not belong beside protocols at 448 pixels.
probe_pipeline = [dict(type='mmseg.PackSegInputs')]

val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmcroc.SyntheticScenes',
        split='val',
        num_images=100,
        image_size=96,
        pipeline=probe_pipeline,
    ),
)
val_evaluator = [
    dict(
        type='mmcroc.ClusteringIoU',
        protocol='clustering-probe',
        algorithm='k-means++',
        num_restarts=2,
        seeds=[0, 1, 2],
        map_size=96,
    ),
    dict(
        type='mmcroc.LinearRidgeIoU',
        train_dataloader=dict(
            batch_size=50,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='mmcroc.SyntheticScenes',
                split='train',
                num_images=100,
                image_size=96,
                pipeline=probe_pipeline,
            ),
        ),
    ),
]
val_cfg = dict()
