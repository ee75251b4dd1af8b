"""What happens between iterations."""

from .hooks import UnreadableImagesHook

__all__ = ['UnreadableImagesHook']
