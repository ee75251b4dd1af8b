# overclustering-leopart, ViT-S/16, 1,449 validation images: as clustering-leopart, with 500
# clusters (trained on 128,000 tokens), each mapped to the class of most of its pixels.
_base_ = 'clustering-leopart_vit-s_voc.py'

val_evaluator = dict(
    protocol='overclustering-leopart',
    num_clusters=500,
    matching='precision',
)
test_evaluator = val_evaluator
