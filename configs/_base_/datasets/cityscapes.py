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
# Instances as foreground; stuff and groups that are not told apart do not count.
region_set = dict(
    type='mmseg.CityscapesDataset',
    data_root='data/cityscapes',
    data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
    seg_map_suffix='_gtFine_instanceIds.png',
    pipeline=[
        dict(type='mmcroc.LoadWholeImage'),
        dict(type='mmcroc.LoadCityscapesInstances'),
        dict(type='mmcroc.PackRegions'),
    ],
)
# Protocols with a size of their own for these images.
protocol_files = {
    'retrieval-hsg': 'retrieval-hsg-2048',
    'nfcovering-hsg': 'nfcovering-hsg-2048',
}
