# Protocol clustering-leopart: k-means over the tokens of all validation images, K = classes. No
# training. Images are squashed to 448x448; all tokens standardised, 50 principal components,
# faiss's k-means (random starts, trained on 256 K sampled tokens, 100 iterations, best of 5 starts
# by that sample), maps and masks compared at 100x100, Hungarian matching over the whole set, mean
# IoU over all classes, a class without pixels counting 0; mean and spread over five seeds. What
# differs from Leopart's code: docs/protocols.md.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.ClusteringIoU',
    protocol='clustering-leopart',
    num_clusters='classes',
    pca_dim=50,
    num_iterations=100,
    num_restarts=5,
    algorithm='faiss',
    seeds=[0, 1, 2, 3, 4],
    map_size=100,
    matching='hungarian',
    absent='zero',
)
test_evaluator = val_evaluator
