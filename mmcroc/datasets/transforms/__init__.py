from .loading import LoadMappedAnnotations

__all__ = ['LoadMappedAnnotations']
