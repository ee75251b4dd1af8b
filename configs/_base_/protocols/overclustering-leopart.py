# Protocol overclustering-leopart: clustering-leopart with 500 clusters, each mapped to the class of
# most of its pixels. k-means is trained on 128,000 tokens.
_base_ = 'clustering-leopart.py'

val_evaluator = dict(
    protocol='overclustering-leopart',
    num_clusters=500,
    matching='precision',
)
test_evaluator = val_evaluator
