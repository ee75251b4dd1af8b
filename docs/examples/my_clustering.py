# Protocol clustering on a folder of one's own: images, and for each a PNG mask by the same
# name whose pixels hold the number of the class (255: does not count).
_base_ = 'mmcroc::eval/clustering_voc.py'

my_dataset = dict(
    _delete_=True,
    type='mmseg.BaseSegDataset',
    data_root='my_data/labelled',
    data_prefix=dict(img_path='images', seg_map_path='masks'),
    img_suffix='.jpg',
    seg_map_suffix='.png',
    metainfo=dict(
        classes=('meadow', 'sand', 'water', 'ball', 'crate', 'tent', 'star', 'ring', 'blob')
    ),
    pipeline={{_base_.test_pipeline}},
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=my_dataset)
test_dataloader = val_dataloader
