# Pascal-Context by 59 classes: background is ignored.
_base_ = 'pascal-context.py'

num_classes = 59
train_set = dict(type='mmseg.PascalContextDataset59')
val_set = dict(type='mmseg.PascalContextDataset59')
