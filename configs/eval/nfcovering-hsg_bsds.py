# nfcovering-hsg on the 100 validation images of BSDS500 with the regions that several people drew
# in each: every region counts.
# Expect: no figure is published on these images; own small runs are in docs/zoo.md.
_base_ = ['../_base_/datasets/bsds.py', '../_base_/protocols/nfcovering-hsg.py']

val_dataloader = dict(dataset={{_base_.region_set}})
test_dataloader = val_dataloader
