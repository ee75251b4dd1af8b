# Protocol clustering: clustering-leopart with a better k-means, k-means++ on all tokens. Not what
# papers report; less spread.
_base_ = 'clustering-leopart.py'

val_evaluator = dict(protocol='clustering', algorithm='k-means++')
test_evaluator = val_evaluator
