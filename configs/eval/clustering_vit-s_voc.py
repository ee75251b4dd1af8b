# clustering, ViT-S/16, 1,449 validation images, 21 classes with background: as
# clustering-leopart, but k-means++ on all tokens.
_base_ = 'clustering-leopart_vit-s_voc.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
