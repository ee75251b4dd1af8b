# overclustering-leopart on Pascal VOC 2012: 1,449 validation images, 21 classes with background: as
# clustering-leopart, with 500 clusters (trained on 128,000 tokens), each mapped to the class of
# most of its pixels.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = 'clustering-leopart_voc.py'

val_evaluator = dict(
    protocol='overclustering-leopart',
    num_clusters=500,
    matching='precision',
)
test_evaluator = val_evaluator
