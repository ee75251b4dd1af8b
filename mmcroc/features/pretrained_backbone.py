"""Any backbone, named by one string."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.features.checkpoint_backbone import backbone_of_checkpoint, load_all
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.stride_16 import dilate_last_stage
from mmcroc.features.vision_transformer import VisionTransformer
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.checkpoint_name import SUFFIXES, split_checkpoint
from mmcroc.weights.checkpoint_networks import backbone_weights
from mmcroc.weights.download import download

RANDOM = 'deit-small/16'
#: What is said where a config that scores weights names none.
NO_MODEL = (
    'no weights were named to be scored: python tools/evaluate.py MODEL --protocol PROTOCOL --data '
    'DATA --work-dir FOLDER, or --cfg-options {setting}=MODEL; MODEL is a checkpoint, timm:NAME, '
    'hf:NAME, rgb, or random where random weights are meant'
)


def load_backbone(model: str, seed: int = 0) -> nn.Module:
    """A backbone by its name.

    ===================================  ====================================================
    ``path/to/epoch_300.pth``            a checkpoint of mmcroc (CrOC's teacher; HSG's pixel
                                         embedding at stride 8), MMPretrain or MMSegmentation
    ``path/to/croc.pth:student``         the student, of any file with a teacher and a student
    ``path/to/hsg.pth:backbone``         HSG's backbone alone, without the neck, at stride 8
    ``path/to/weights.pth``              released weights, told by their keys: CrOC's, HSG's,
                                         DINO's, iBOT's, DINOv2's, DINOv3's, MAE's; Vision
                                         Transformers and ResNets as MMPretrain, timm and
                                         torchvision name their weights
    ``path/to/weights.safetensors``      ... in this format
    ``timm:vit_small_patch16_224.dino``  a timm model with timm's weights
    ``timm:NAME@path/to/weights.pth``    ... with the weights of a file
    ``hf:facebook/dinov2-small``,        a vision model of Hugging Face's transformers, of the
    ``hf:path/to/folder``                hub or a local folder
    ``vit-base-p16_32xb128-mae_in1k``    a name of ``mmpretrain.list_models()``, its weights
    ``NAME@path/to/weights.pth``         ... with the weights of a file
    ``random``, ``random:deit-base/8``,  random weights: ViT-S/16, another ViT / patch size,
    ``random:resnet50``                  a ResNet
    ``rgb``                              no network: mean colour and position of 16-pixel patches
    ===================================  ====================================================

    Weights fit as a whole or not at all; only what features do not depend on is left out
    (:data:`mmcroc.weights.checkpoint_networks.NOT_FEATURES`). Nothing that a file brings
    is run (:func:`mmcroc.weights.checkpoint_file.checkpoint_contents`).

    Args:
        model: As above.
        seed: Of random weights.

    Returns:
        A module that :func:`mmcroc.features.dense_tokens.dense_tokens` takes.

    Raises:
        FileNotFoundError, ValueError: No such model, or weights that do not fit it.
        ImportError: It takes a library that is not installed.
        OSError: A download failed.
    """
    name, _, path = model.partition('@')
    kind, _, rest = name.partition(':')
    if kind == 'hf':
        return MODELS.build(dict(type='mmcroc.HuggingFaceBackbone', name=model.removeprefix('hf:')))
    checkpoint = split_checkpoint(model)
    if checkpoint:
        return backbone_of_checkpoint(*checkpoint)
    if kind == 'timm':
        cfg = dict(type='mmcroc.TimmBackbone', model_name=rest, checkpoint_path=path)
        return MODELS.build(cfg)
    if kind == 'random':
        return _random_backbone(rest or RANDOM, seed)
    if model == 'rgb':
        return MODELS.build(dict(type='mmcroc.ColourPosition'))
    return _mmpretrain_backbone(name, path)


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


def _mmpretrain_backbone(name: str, path: str) -> nn.Module:
    from mmpretrain.apis import ModelHub, get_model

    try:
        url = ModelHub.get(name).weights
    except ValueError as error:
        raise ValueError(
            f'{name!r} is no checkpoint ({" ".join(SUFFIXES)}), not timm:NAME, hf:NAME, random or '
            'rgb, and no name of mmpretrain.list_models()'
        ) from error
    if not path and not url:
        raise ValueError(f'mmpretrain has no weights of {name}: give some, {name}@FILE')
    path = path or download(url)
    backbone = get_model(name).backbone
    load_all(backbone, backbone_weights(read_checkpoint(path)[0]).state, path)
    if hasattr(backbone, 'out_type'):
        backbone.out_type = 'featmap'
    return backbone


@MODELS.register_module()
class PretrainedBackbone(BaseModule):
    """A frozen backbone by its name, for ``FeatureSegmentor`` and ``EncoderDecoder``.

    Args:
        model: As :func:`load_backbone`. None, as in evaluation configs, is refused: what is scored
            is named.
        seed: Of random weights.
        resnet_stride: 16 lets ResNets of stride 32 give maps of stride 16, the last stage's stride
            turned into dilation (:func:`.stride_16.dilate_last_stage`); None leaves all as they
            are.
        position_offset: As for :class:`VisionTransformer`: 0.1 resizes position embeddings as
            DINO's code. 0 leaves it to the model's library.

    Raises:
        ValueError: There is no such model, or none was named; ``position_offset`` for a model that
            is no :class:`VisionTransformer`; another ``resnet_stride``.
    """

    def __init__(
        self,
        model: str | None = None,
        seed: int = 0,
        resnet_stride: int | None = None,
        position_offset: float = 0.0,
    ):
        super().__init__()
        if model is None:
            raise ValueError(NO_MODEL.format(setting='model.backbone.model'))
        if resnet_stride not in (None, 16):
            raise ValueError(f'resnet_stride must be 16 or None, got {resnet_stride!r}')
        self.model = load_backbone(model, seed)
        if resnet_stride:
            dilate_last_stage(self.model)
        if position_offset:
            if not isinstance(self.model, VisionTransformer):
                raise ValueError(
                    f'position_offset={position_offset} takes a Vision Transformer of mmcroc, but '
                    f'{model} is a {type(self.model).__name__}, whose library resizes its '
                    'positions: leave position_offset out, or convert the weights first '
                    '(tools/model_converters/to_mmpretrain.py)'
                )
            self.model.position_offset = position_offset
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
