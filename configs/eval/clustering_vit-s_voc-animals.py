# clustering, ViT-S/16, 222 validation images, 7 classes: as
# clustering-leopart, but k-means++ on all tokens.
_base_ = 'clustering-leopart_vit-s_voc-animals.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
