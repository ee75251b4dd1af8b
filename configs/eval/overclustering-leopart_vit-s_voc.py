# overclustering-leopart, ViT-S/16, 1,449 validation images: as clustering-leopart, with 500
# clusters, each mapped to the class of most of its pixels. k-means++ chooses among 50,000 tokens.
_base_ = 'clustering-leopart_vit-s_voc.py'

val_evaluator = dict(
    protocol='overclustering-leopart',
    num_clusters=500,
    matching='precision',
    max_init_points=50000,
)
test_evaluator = val_evaluator
