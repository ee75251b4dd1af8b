# clustering on VOC's animals: 222 validation images, 7 classes: as clustering-leopart, but
# k-means++ on all tokens.
# Expect: no figure is published; less spread than clustering-leopart (docs/protocols.md).
_base_ = 'clustering-leopart_voc-animals.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
