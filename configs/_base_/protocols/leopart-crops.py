# Training images of linear-leopart and linear-cached: random crops of scale 0.8-1 at 448x448,
# flips, masks at 100x100 (nearest).
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmcroc.RandomResizedCropWithLabels', size=448, scale=(0.8, 1.0)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmcroc.ResizeLabels', size=100),
    dict(type='mmseg.PackSegInputs'),
]
