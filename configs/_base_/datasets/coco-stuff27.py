# COCO-Stuff by all 27 super-categories, 12 of things and 15 of stuff: the classes of PiCIE and
# STEGO. Labels and images as in coco-stuff.py, all 5,000 of val2017; those papers score a curated
# part of it, whose list of names goes into val_dataloader.dataset.ann_file.
_base_ = 'coco-stuff.py'

num_classes = 27
train_set = dict(type='mmcroc.COCOStuff27Dataset')
val_set = dict(type='mmcroc.COCOStuff27Dataset')
