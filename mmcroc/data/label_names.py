"""Names that labelled sets and their converters share, without the packages that sets need.

To import those takes each worker process of a converter ten seconds.
"""

#: Label of what does not count.
IGNORE = 255
#: COCO's super-categories, in order of their classes.
THINGS = (
    'accessory', 'animal', 'appliance', 'electronic', 'food', 'furniture', 'indoor', 'kitchen',
    'outdoor', 'person', 'sports', 'vehicle',
)  # fmt: skip
STUFF = (
    'building', 'ceiling', 'floor', 'food-stuff', 'furniture-stuff', 'ground', 'plant',
    'raw-material', 'sky', 'solid', 'structural', 'textile', 'wall', 'water', 'window',
)  # fmt: skip
#: Sequences of KITTI's tracking benchmark and their frames in all, by split.
SEQUENCES = {
    'train': (
        '0000', '0001', '0003', '0004', '0005', '0009', '0011', '0012', '0015', '0017', '0019',
        '0020',
    ),
    'val': ('0002', '0006', '0007', '0008', '0010', '0013', '0014', '0016', '0018'),
}  # fmt: skip
NUM_FRAMES = {'train': 5027, 'val': 2981}
