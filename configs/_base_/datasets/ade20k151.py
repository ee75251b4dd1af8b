# ADE20K by 151 classes: label 0, everything else, is a class of its own, which metrics ignore with
# ignore_index=0. The way of hummingbird.
_base_ = 'ade20k.py'

num_classes = 151
train_set = dict(type='mmcroc.ADE20K151Dataset')
val_set = dict(type='mmcroc.ADE20K151Dataset')
protocol_settings = dict(hummingbird=dict(low_shot='ade20k', ignore_index=0))
