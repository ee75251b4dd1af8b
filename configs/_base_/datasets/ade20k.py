# ADE20K (ADEChallengeData2016): 20,210 training and 2,000 validation images, 150 classes; label 0,
# everything else, is ignored. The way of clustering and linear protocols; hummingbird's: ade20k151.
num_classes = 150
train_set = dict(
    type='mmseg.ADE20KDataset',
    data_root='data/ade/ADEChallengeData2016',
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
)
val_set = dict(
    type='mmseg.ADE20KDataset',
    data_root='data/ade/ADEChallengeData2016',
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
)
