from .clustering_transformer import ClusteringTransformer, Grouping

__all__ = ['ClusteringTransformer', 'Grouping']
