"""timm's models as backbones."""

import timm
from mmengine.model import BaseModule
from torch import Tensor

from mmcroc.registry import MODELS


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A timm model's final feature map.

    Of Vision Transformers: the final-normed patch tokens, [CLS] and registers dropped, position
    embedding interpolated to any input size.

    Args:
        model_name: Such as ``'vit_small_patch16_224.dino'`` or ``'resnet50'``.
        pretrained: Load timm's weights, from its cache or the network.
        checkpoint_path: Load these weights of timm's layout instead.
    """

    def __init__(self, model_name: str, pretrained: bool = True, checkpoint_path: str = ''):
        super().__init__()
        settings = dict(pretrained=pretrained and not checkpoint_path, num_classes=0)
        try:
            self.model = timm.create_model(model_name, dynamic_img_size=True, **settings)
        except TypeError:  # not a Vision Transformer: takes any size anyway
            self.model = timm.create_model(model_name, **settings)
        if checkpoint_path:
            timm.models.load_checkpoint(self.model, checkpoint_path)

    def init_weights(self):
        """timm's models start by themselves."""
        self._is_init = True

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W).

        Raises:
            ValueError: The model's features are no map and no tokens of one.
        """
        features = self.model.forward_features(images)
        if features.dim() == 4:
            return (features,)
        height, width = images.shape[-2:]
        patch = self.model.patch_embed.patch_size
        grid = height // patch[0], width // patch[1]
        tokens = features[:, self.model.num_prefix_tokens :]
        if tokens.shape[1] != grid[0] * grid[1]:
            raise ValueError(
                f'{type(self.model).__name__} gave {tuple(features.shape)} for images of '
                f'{height}x{width} px: not a grid of {grid[0]}x{grid[1]} tokens'
            )
        return (tokens.mT.unflatten(-1, grid),)
