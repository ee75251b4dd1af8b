"""timm's models as backbones."""

from mmengine.model import BaseModule
from torch import Tensor

from mmcroc.features.checkpoint_backbone import load_all
from mmcroc.optional import require
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.checkpoint_networks import NOT_FEATURES, backbone_weights


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A timm model's final feature map.

    Of Vision Transformers: the final-normed patch tokens, [CLS] and registers dropped, position
    embedding interpolated to any input size.

    Args:
        model_name: Such as ``'vit_small_patch16_224.dino'`` or ``'resnet50'``.
        pretrained: Load timm's weights, from its cache or the network.
        checkpoint_path: Load these weights of timm's layout instead.
        settings: What the model has otherwise than its name says, such as ``dict(depth=6)``.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = True,
        checkpoint_path: str = '',
        settings: dict | None = None,
    ):
        super().__init__()
        timm = require('timm', f'timm:{model_name}', 'timm')
        if not timm.is_model(model_name):
            raise ValueError(
                f'timm {timm.__version__} has no model {model_name!r} (timm.list_models() says '
                'which it has; newer ones take a newer timm)'
            )
        settings = dict(
            pretrained=pretrained and not checkpoint_path, num_classes=0, **(settings or {})
        )
        try:
            self.model = timm.create_model(model_name, dynamic_img_size=True, **settings)
        except TypeError:  # not a Vision Transformer: takes any size anyway
            self.model = timm.create_model(model_name, **settings)
        if checkpoint_path:
            self._load(checkpoint_path)

    def _load(self, path):
        state = backbone_weights(read_checkpoint(path)[0]).state
        own = self.model.state_dict()
        # Some models have a norm in their head.
        kept = {k: v for k, v in state.items() if k in own or not k.startswith(NOT_FEATURES)}
        load_all(self.model, kept, path)

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
