# clustering on Pascal VOC 2012: 1,449 validation images, 21 classes with background: as
# clustering-leopart, but k-means++ on all tokens.
# Expect: no figure is published; less spread than clustering-leopart (docs/protocols.md).
_base_ = 'clustering-leopart_voc.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
