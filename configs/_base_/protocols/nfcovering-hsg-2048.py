# nfcovering-hsg at HSG's size for Cityscapes.
_base_ = 'nfcovering-hsg.py'

model = dict(longer_side=2048)
