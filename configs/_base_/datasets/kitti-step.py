# KITTI-STEP, as tools/dataset_converters/kitti_step.py writes it: 5,027 training and 2,981
# validation frames, 19 classes.
num_classes = 19
train_set = dict(
    type='mmcroc.KITTISTEPDataset',
    data_root='data/kitti_step',
    data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
)
val_set = dict(
    type='mmcroc.KITTISTEPDataset',
    data_root='data/kitti_step',
    data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
)
# Protocols with a size of their own for these images.
protocol_files = {'retrieval-hsg': 'retrieval-hsg-1242'}
