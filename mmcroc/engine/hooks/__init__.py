"""Hooks."""

from .unreadable_images_hook import UnreadableImagesHook

__all__ = ['UnreadableImagesHook']
