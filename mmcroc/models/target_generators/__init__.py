from .online_clustering import OnlineClustering

__all__ = ['OnlineClustering']
