# Cityscapes: 2,975 training and 500 validation images, 19 classes (labelTrainIds).
num_classes = 19
train_set = dict(
    type='mmseg.CityscapesDataset',
    data_root='data/cityscapes',
    data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
)
val_set = dict(
    type='mmseg.CityscapesDataset',
    data_root='data/cityscapes',
    data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
)
