"""Hugging Face's models as backbones."""

import inspect
from math import prod

from mmengine.model import BaseModule
from torch import Tensor

from mmcroc.optional import require
from mmcroc.registry import MODELS

#: Weights that tokens do not depend on: absent from files, or drawn anew.
NOT_TOKENS = ('pooler.',)


@MODELS.register_module()
class HuggingFaceBackbone(BaseModule):
    """The final feature map of a vision model of ``transformers``.

    Of Vision Transformers: the last hidden state's patch tokens, [CLS] and registers dropped,
    position embedding interpolated to any input size.

    Args:
        name: Of the hub, such as ``'facebook/dinov2-small'``, or a local folder as
            ``save_pretrained`` writes it. Code in it is not run.

    Raises:
        ImportError: transformers is not installed.
        ValueError: There is no such model, or weights are missing.
    """

    def __init__(self, name: str):
        super().__init__()
        library = require('transformers', f'hf:{name}', 'mmcroc[export]')
        try:
            self.model, info = library.AutoModel.from_pretrained(name, output_loading_info=True)
        except (OSError, ValueError) as error:
            raise ValueError(f'hf:{name} cannot be loaded: {error}') from error
        missing = [key for key in info['missing_keys'] if not key.startswith(NOT_TOKENS)]
        wrong = missing + [str(key) for key in info['mismatched_keys']]
        if wrong:
            raise ValueError(f'hf:{name} lacks weights of {type(self.model).__name__}: {wrong[:5]}')
        self.name = name
        takes = inspect.signature(self.model.forward).parameters
        self.options = {}
        if 'interpolate_pos_encoding' in takes:
            self.options['interpolate_pos_encoding'] = True

    def init_weights(self):
        """Weights are there."""
        self._is_init = True

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W), normalised.

        Raises:
            ValueError: The model's last hidden state is no map and no tokens of one.
        """
        hidden = self.model(pixel_values=images, **self.options).last_hidden_state
        if hidden.dim() == 4:
            return (hidden,)
        patch = getattr(self.model.config, 'patch_size', 0)
        sides = patch if isinstance(patch, list | tuple) else (patch, patch)
        grid = [
            size // side if side else 0 for size, side in zip(images.shape[-2:], sides, strict=True)
        ]
        extra = 1 + getattr(self.model.config, 'num_register_tokens', 0)
        if hidden.shape[1] != extra + prod(grid):
            raise ValueError(
                f'hf:{self.name} gave {tuple(hidden.shape)} for images of '
                f'{tuple(images.shape[-2:])} px: not [CLS], {extra - 1} registers and a grid of '
                f'{grid[0]}x{grid[1]} tokens'
            )
        return (hidden[:, extra:].mT.unflatten(-1, grid),)
