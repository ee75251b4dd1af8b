"""Any frozen model, named by one string or given as a module."""

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.features.checkpoint_backbone import backbone_of_checkpoint, load_all
from mmcroc.features.dense_model import MeasuredModel
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import SUFFIXES, download, read_checkpoint, split_checkpoint
from mmcroc.weights.checkpoint_networks import backbone_weights

RANDOM = 'deit-small/16'
#: Modules that names mean while :func:`modules_by_name` is open.
_MODULES: dict[str, nn.Module] = {}


class UnnamedModelError(ValueError):
    """No weights were named where a config scores some.

    Args:
        setting: Dotted name of the setting that names them.
    """

    def __init__(self, setting: str) -> None:
        super().__init__(
            'no weights were named to be scored: python tools/evaluate.py MODEL --protocol '
            f'PROTOCOL --data DATA --work-dir FOLDER, or --cfg-options {setting}=MODEL; MODEL is a '
            'checkpoint, timm:NAME, hf:NAME, rgb, or random where random weights are meant'
        )


class FrozenModel(MeasuredModel, BaseModule):
    """A network as a :class:`mmcroc.features.DenseModel`, and as a backbone of any segmentor.

    Args:
        model: Any network that :func:`mmcroc.features.dense_tokens.dense_tokens` takes; frozen in
            place.
        name: Name of the model; by default its class's.
        provenance: Origin of its weights, in words.
    """

    def __init__(self, model: nn.Module, name: str = '', provenance: str = ''):
        super().__init__()
        self.model = model
        self.name, self.provenance = name or type(model).__name__, provenance
        self.model.requires_grad_(False)
        self.train(False)

    def init_weights(self) -> None:
        """Nothing: the weights are there."""
        self._is_init = True

    def train(self, mode: bool = True) -> 'FrozenModel':
        """Frozen: neither stochastic depth nor running statistics, ever."""
        return super().train(False)

    def extract_feat(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W)."""
        return (dense_tokens(self.model, images),)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W), as backbones give it."""
        return (self.features(images),)


def load_model(
    model: str | os.PathLike | nn.Module, device: str | torch.device = 'cpu', seed: int = 0
) -> FrozenModel:
    """Any frozen dense model behind one interface.

        model = load_model('work_dirs/croc_vit-s_coco/epoch_300.pth', 'cuda')
        model = load_model(my_conv_net)
        tokens = model.features(images)    # (B, 3, H, W) -> (B, model.channels, h, w)

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
    (:data:`mmcroc.weights.checkpoint_networks.NOT_FEATURES`). Nothing that a file brings is run
    (:mod:`mmcroc.weights.checkpoint_file`).

    Args:
        model: Name as above; or any module that gives, for images (B, 3, H, W), a map
            (B, C, h, w), tokens (B, N, C) of a grid of square patches, or a tuple or list that ends
            in either. A copy of the module is frozen; it itself stays as it is.
        device: Device of the model.
        seed: Seed of random weights.

    Raises:
        FileNotFoundError, ValueError: No such model, or weights that do not fit it; a module that
            gives something else.
        ImportError: It takes a library that is not installed.
        OSError: A download failed.
    """
    if isinstance(model, nn.Module):
        frozen = FrozenModel(copy.deepcopy(model), type(model).__name__, 'a module')
    else:
        name = os.fspath(model)
        network, provenance = _load(name, seed)
        frozen = FrozenModel(network, name, provenance)
    return frozen.to(device)


@contextlib.contextmanager
def modules_by_name(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Let configs, which hold no modules, name these inside the block.

    Args:
        modules: Modules by the name that :func:`load_model` then gives a copy of each for.
    """
    _MODULES.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del _MODULES[name]


def load_backbone(model: str, seed: int = 0, config: dict | None = None) -> nn.Module:
    """The bare network of a name; arguments and errors as :func:`load_model`.

    Args:
        model: Name of the model.
        seed: Seed of random weights.
        config: Config for a checkpoint's file, instead of the one in it.
    """
    return _load(model, seed, config)[0]


def _load(model: str, seed: int, config: dict | None = None) -> tuple[nn.Module, str]:
    """A network and the origin of its weights, in words."""
    if model in _MODULES:
        return copy.deepcopy(_MODULES[model]), 'a module'
    checkpoint = None if model.startswith('hf:') else split_checkpoint(model)
    if checkpoint:
        found = backbone_of_checkpoint(*checkpoint, config)
        provenance = f'{checkpoint[0]}: {found.layout}; {found.role}'
        network = found.build(checkpoint[0])
        print_log(provenance, logger='current')
        return network, provenance
    if config is not None:
        raise ValueError(f'a config goes with a checkpoint file, but {model!r} is none')
    name, _, path = model.partition('@')
    kind, _, rest = name.partition(':')
    if kind == 'hf':
        cfg = dict(type='mmcroc.HuggingFaceBackbone', name=model.removeprefix('hf:'))
        return MODELS.build(cfg), f'transformers, {rest}'
    if kind == 'timm':
        cfg = dict(type='mmcroc.TimmBackbone', model_name=rest, checkpoint_path=path)
        return MODELS.build(cfg), f'timm, {path or "its weights"}'
    if kind == 'random':
        return _random_backbone(rest or RANDOM, seed), f'random weights of seed {seed}'
    if model == 'rgb':
        return MODELS.build(dict(type='mmcroc.ColourPosition')), 'no weights'
    return _mmpretrain_backbone(name, path)


def _random_backbone(arch: str, seed: int) -> nn.Module:
    """A ViT (``'deit-small/16'``) or ResNet (``'resnet50'``) of random weights."""
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


def _mmpretrain_backbone(name: str, path: str) -> tuple[nn.Module, str]:
    """The backbone of a name of MMPretrain's, with its weights or a file's, and their origin."""
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
    return backbone, f'MMPretrain, {path}'


@MODELS.register_module()
class PretrainedBackbone(FrozenModel):
    """A frozen backbone by its name, for ``FeatureSegmentor`` and ``EncoderDecoder``.

    Args:
        model: Name as :func:`load_model` takes it. None, as in evaluation configs, is refused: what
            is scored is named.
        seed: Seed of random weights.
        resnet_stride: 16 lets ResNets of stride 32 give maps of stride 16, the last stage's stride
            turned into dilation (:func:`dilate_last_stage`); None leaves all as they
            are.
        position_offset: Offset of :class:`VisionTransformer`: 0.1 resizes position embeddings as
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
        if model is None:
            raise UnnamedModelError('model.backbone.model')
        if resnet_stride not in (None, 16):
            raise ValueError(f'resnet_stride must be 16 or None, got {resnet_stride!r}')
        network, provenance = _load(model, seed)
        if resnet_stride:
            dilate_last_stage(network)
        if position_offset:
            set_offset = getattr(network, 'set_position_offset', None)
            if set_offset is None:
                raise ValueError(
                    f'position_offset={position_offset} takes a Vision Transformer of mmcroc, but '
                    f'{model} is a {type(network).__name__}, whose library resizes its '
                    'positions: leave position_offset out, or convert the weights first '
                    '(tools/model_converters/to_mmpretrain.py)'
                )
            set_offset(position_offset)
        super().__init__(network, model, provenance)


def dilate_last_stage(backbone: nn.Module) -> None:
    """Let the last stage of a ResNet keep its input's resolution, in place.

    Its strides become 1, and every 3x3 convolution behind the strided one is dilated by 2, so that
    it meets the neighbours it was trained on. The strided one itself stays undilated.

    Reference: Yu, Koltun and Funkhouser, *Dilated residual networks*, CVPR 2017. Leopart evaluates
    ResNets so.

    Args:
        backbone: Any module. Only ResNets as torchvision, timm, MMPretrain, MMSegmentation and
            transformers build them change, and only where their last stage has a stride.
    """
    for name, stage in backbone.named_modules():
        if name.rpartition('.')[2] != 'layer4' and not _is_last_of_transformers(name, stage):
            continue
        strided = [m for m in stage.modules() if getattr(m, 'stride', 1) in (2, (2, 2))]
        for module in strided:
            module.stride = (1, 1)
            if isinstance(module, nn.AvgPool2d):  # of a shortcut
                module.kernel_size = (1, 1)
        for module in stage.modules() if strided else ():
            if getattr(module, 'kernel_size', None) == (3, 3) and module not in strided:
                module.dilation = module.padding = (2, 2)


def _is_last_of_transformers(name: str, module: nn.Module) -> bool:
    """Whether a module is the last stage of a ResNet of transformers."""
    return type(module).__name__ == 'ResNetStage' and name.endswith('stages.3')
