"""Any backbone, named by one string."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.models.dense_tokens import dense_tokens
from mmcroc.registry import MODELS

from .checkpoint_backbone import backbone_of_checkpoint

CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.bin')
BARE = ':backbone'
RANDOM = 'deit-small/16'


def is_checkpoint(model: str) -> bool:
    """Whether a name as :func:`load_backbone` takes it is a checkpoint's."""
    return model.removesuffix(BARE).endswith(CHECKPOINT_SUFFIXES) and '@' not in model


def load_backbone(model: str, seed: int = 0) -> nn.Module:
    """A backbone by its name.

    ===================================  ====================================================
    ``path/to/epoch_300.pth``            a checkpoint: mmcroc's (CrOC's teacher; HSG's pixel
                                         embedding at stride 8), MMPretrain's, CrOC's released
                                         ones
    ``path/to/hsg.pth:backbone``         HSG's backbone alone, without the neck, at stride 8
    ``timm:vit_small_patch16_224.dino``  a timm model with timm's weights
    ``timm:NAME@path/to/weights.pth``    ... with the weights of a file
    ``vit-base-p16_32xb128-mae_in1k``    a name of ``mmpretrain.list_models()``, its weights
    ``NAME@path/to/weights.pth``         ... with the weights of a file
    ``random``, ``random:deit-base/8``,  random weights: ViT-S/16, another ViT / patch size,
    ``random:resnet50``                  a ResNet
    ``rgb``                              no network: mean colour and position of 16-pixel patches
    ===================================  ====================================================

    Args:
        model: As above.
        seed: Of random weights.

    Returns:
        A module that :func:`mmcroc.models.dense_tokens.dense_tokens` takes.

    Raises:
        FileNotFoundError, ValueError: No such model, or weights that do not fit it.
    """
    name, _, path = model.partition('@')
    kind, _, rest = name.partition(':')
    if is_checkpoint(model):
        return backbone_of_checkpoint(model.removesuffix(BARE), bare=model.endswith(BARE))
    if kind == 'timm':
        cfg = dict(type='mmcroc.TimmBackbone', model_name=rest, checkpoint_path=path)
        return MODELS.build(cfg)
    if kind == 'random':
        return _random_backbone(rest or RANDOM, seed)
    if model == 'rgb':
        return MODELS.build(dict(type='mmcroc.ColourPosition'))
    return _mmpretrain_backbone(name, path or True)


def _random_backbone(arch: str, seed: int) -> nn.Module:
    if arch.startswith('resnet'):
        cfg = dict(type='mmpretrain.ResNet', depth=int(arch.removeprefix('resnet')))
    else:
        arch, _, patch_size = arch.partition('/')
        cfg = dict(
            type='mmcroc.VisionTransformer',
            arch=arch,
            img_size=224,
            patch_size=int(patch_size or 16),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = MODELS.build(cfg)
        backbone.init_weights()
    return backbone


def _mmpretrain_backbone(name: str, pretrained: str | bool) -> nn.Module:
    from mmpretrain.apis import ModelHub, get_model

    try:
        ModelHub.get(name)
    except ValueError as error:
        raise ValueError(
            f'{name!r} is no checkpoint ({" ".join(CHECKPOINT_SUFFIXES)}), not timm:NAME, random '
            'or rgb, and no name of mmpretrain.list_models()'
        ) from error
    backbone = get_model(name, pretrained=pretrained).backbone
    if hasattr(backbone, 'out_type'):
        backbone.out_type = 'featmap'
    return backbone


@MODELS.register_module()
class PretrainedBackbone(BaseModule):
    """A frozen backbone by its name, for ``FeatureSegmentor`` and ``EncoderDecoder``.

    Args:
        model: As :func:`load_backbone`.
        seed: Of random weights.
    """

    def __init__(self, model: str = 'random', seed: int = 0):
        super().__init__()
        self.model = load_backbone(model, seed)
        self.model.requires_grad_(False)
        self.train(False)

    @property
    def out_channels(self) -> int:
        """Channels of the feature map."""
        return self._example().shape[1]

    @property
    def stride(self) -> int:
        """Side of a patch, pixels."""
        return 224 // self._example().shape[2]

    def _example(self):
        device = next((p.device for p in self.parameters()), 'cpu')
        return self(torch.zeros(1, 3, 224, 224, device=device))[0]

    def init_weights(self):
        """Weights are there."""
        self._is_init = True

    def train(self, mode: bool = True):
        """Frozen: neither stochastic depth nor running statistics, ever."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W)."""
        return (dense_tokens(self.model, images),)
