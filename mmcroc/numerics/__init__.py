"""Numerics without a paper: k-means, PCA, ridge, matching, neighbours, distributed sums."""
