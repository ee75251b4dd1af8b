# clustering on VOC's animals: 222 validation images, 7 classes: as clustering-leopart, but
# k-means++ on all tokens.
# Expect: 13.72 +- 0.00 of a DINOv2 ViT-S/14, 7.26 +- 0.02 of random weights (own figures,
# docs/zoo.md).
_base_ = 'clustering-leopart_voc-animals.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
