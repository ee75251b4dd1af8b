# COCO by 12 super-categories of things, all else ignored. Labels and images as in coco-stuff.py,
# where papers take the panoptic masks.
_base_ = 'coco-stuff.py'

num_classes = 12
train_set = dict(type='mmcroc.COCOThings12Dataset')
val_set = dict(type='mmcroc.COCOThings12Dataset')
