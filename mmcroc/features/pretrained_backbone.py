"""Any frozen model, named by one string or given as a module."""

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.features.checkpoint_backbone import find_backbone, load_all
from mmcroc.features.dense_model import DenseModel
from mmcroc.features.dense_tokens import dense_tokens, layer_maps
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import backbone_weights
from mmcroc.weights.checkpoint_file import SUFFIXES, download, read_checkpoint, split_checkpoint

RANDOM = 'deit-small/16'
#: Modules that names mean while :func:`modules_by_name` is open.
_MODULES: dict[str, nn.Module] = {}


class UnnamedModelError(ValueError):
    """No weights were named where a config scores some, by its ``setting``."""

    def __init__(self, setting: str) -> None:
        super().__init__(
            'no weights were named to be scored: python tools/evaluate.py MODEL --protocol '
            f'PROTOCOL --data DATA --work-dir FOLDER, or --cfg-options {setting}=MODEL; MODEL is a '
            'checkpoint, timm:NAME, hf:NAME, rgb, or random where random weights are meant'
        )


class FrozenModel(DenseModel, BaseModule):
    """A network as a :class:`mmcroc.features.DenseModel`, and as a backbone of any segmentor.

    Any network that :func:`mmcroc.features.dense_tokens.dense_tokens` takes; it is frozen in place,
    and never out of evaluation. Its name is by default its class's.
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
        """Evaluation, whatever ``mode`` says."""
        return super().train(False)

    def extract_feat(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W)."""
        return (dense_tokens(self.model, images),)

    @torch.no_grad()
    def layer_features(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maps (B, C, h, w) of layers, as :func:`mmcroc.features.dense_tokens.layer_maps`."""
        return layer_maps(self.model, images, layers)

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

    Names are checkpoints' and released weights' files, ``timm:NAME``, ``hf:NAME``, MMPretrain's,
    ``random`` and ``rgb``: docs/weights.md lists them all.

    Weights fit as a whole or not at all; only what features do not depend on is left out. Nothing
    that a file brings is run (:mod:`mmcroc.weights.checkpoint_file`).

    Args:
        model: Name; or any module that gives, for images (B, 3, H, W), a map (B, C, h, w), tokens
            (B, N, C) of a grid of square patches, or a tuple or list that ends in either. A copy of
            the module is frozen; it itself stays as it is.
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

    A checkpoint's file may be given another ``config`` than the one in it.
    """
    return _load(model, seed, config)[0]


def _load(model: str, seed: int, config: dict | None = None) -> tuple[nn.Module, str]:
    """A network and the origin of its weights, in words."""
    if model in _MODULES:
        return copy.deepcopy(_MODULES[model]), 'a module'
    checkpoint = None if model.startswith('hf:') else split_checkpoint(model)
    if checkpoint:
        path, part = checkpoint
        content, own_config = read_checkpoint(path)
        try:
            found = find_backbone(content, config or own_config, part)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        provenance = f'{path}: {found.layout}; {found.role}'
        print_log(provenance, logger='current')
        return found.build(path), provenance
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
        settings = dict(arch=arch, img_size=224, patch_size=int(patch_size or 16))
        cfg = dict(type='mmcroc.VisionTransformer', **settings)
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
            turned into dilation (:func:`dilate_last_stage`); None leaves all as they are.
        position_offset: Offset of :class:`VisionTransformer`: 0.1 resizes position embeddings as
            DINO's code. 0 leaves it to the model's library, the only choice of other models.
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
    it meets the neighbours it was trained on (Yu, Koltun and Funkhouser, *Dilated residual
    networks*, CVPR 2017; Leopart evaluates ResNets so). The strided one itself stays undilated.

    Only ResNets as torchvision, timm, MMPretrain, MMSegmentation and transformers build them
    change, and only where their last stage has a stride.
    """
    for name, stage in backbone.named_modules():
        is_transformers = type(stage).__name__ == 'ResNetStage' and name.endswith('stages.3')
        if name.rpartition('.')[2] != 'layer4' and not is_transformers:
            continue
        strided = [m for m in stage.modules() if getattr(m, 'stride', 1) in (2, (2, 2))]
        for module in strided:
            module.stride = (1, 1)
            if isinstance(module, nn.AvgPool2d):  # of a shortcut
                module.kernel_size = (1, 1)
        for module in stage.modules() if strided else ():
            if getattr(module, 'kernel_size', None) == (3, 3) and module not in strided:
                module.dilation = module.padding = (2, 2)
