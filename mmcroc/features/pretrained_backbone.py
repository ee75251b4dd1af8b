"""Any frozen model, named by one string or given as a module."""

import copy
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.features.dense_model import DenseModel, dense_tokens
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import (
    backbone_config,
    backbone_weights,
    model_kind,
    without_heads,
)
from mmcroc.weights.checkpoint_file import SUFFIXES, download, read_checkpoint, split_checkpoint
from mmcroc.weights.weight_layouts import detect_layout, model_layout

RANDOM = 'deit-small/16'


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

    Any network that :func:`mmcroc.features.dense_model.dense_tokens` takes; it is frozen in place,
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


def load_backbone(model: str, seed: int = 0, config: dict | None = None) -> nn.Module:
    """The bare network of a name; arguments and errors as :func:`load_model`.

    A checkpoint's file may be given another ``config`` than the one in it.
    """
    return _load(model, seed, config)[0]


def _load(model: str, seed: int, config: dict | None = None) -> tuple[nn.Module, str]:
    """A network and the origin of its weights, in words."""
    if not model.startswith('hf:') and (checkpoint := split_checkpoint(model)):
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


class FoundBackbone(NamedTuple):
    """Config and weights of a backbone in a checkpoint.

    Attributes:
        layout: Naming of the weights in the file, in words.
        role: Network they are of: ``'teacher'``, ``'student'``, ``'backbone'``, ``'whole model'``.
        origin: Config of the checkpoint, that of a converted model included; ``{}`` if none.
    """

    config: dict
    state: dict[str, Tensor]
    layout: str
    role: str
    origin: dict

    def build(self, path: str) -> nn.Module:
        """The module with these weights; a ValueError names the file if they do not fit."""
        backbone = MODELS.build(self.config)
        load_all(backbone, self.state, path)
        return backbone


def find_backbone(
    checkpoint: Mapping, config: dict, part: str = '', heads: int | None = None
) -> FoundBackbone:
    """The backbone of a checkpoint that is read already; a ValueError says why there is none.

    The architecture comes from the config; without one, from the names and shapes of the weights
    (:data:`mmcroc.weights.weight_layouts.LAYOUTS`). A model class may say itself how it is used
    frozen, by a class method ``frozen(checkpoint, config)`` that gives config and weights of the
    whole model; its backbone is the one in that config.

    Args:
        checkpoint: Content of the file.
        config: Config of the checkpoint; ``{}`` if it has none.
        part: ``'student'`` or ``'teacher'`` of self-distillation, by default the teacher;
            ``'backbone'`` for the backbone of a model that is used whole.
        heads: Attention heads of a ViT without a config, where they are known.
    """
    layout = (checkpoint.get('meta') or {}).get('layout', '') if config else ''
    if not config and (released := model_layout(checkpoint)):
        layout, (model, state) = released.name, released.build(checkpoint, heads)
        checkpoint, config = dict(state_dict=state), dict(model=model)
    if not config:
        state, role = backbone_weights(checkpoint, part)
        state = without_heads(state)
        found = detect_layout(state)
        return FoundBackbone(*found.build(state, heads), found.name, role, {})
    kind = model_kind(config)
    layout = layout or f'checkpoint of {kind or "MMEngine"}'
    if frozen := frozen_model(config):
        model, state = frozen(checkpoint, config)
        if not part:
            return FoundBackbone(model, state, layout, 'whole model', config)
        if part != 'backbone':
            raise ValueError(f'{kind.rpartition(".")[2]} has no {part}')
        config = dict(config, model=model)
    state, role = backbone_weights(checkpoint, part)
    return FoundBackbone(backbone_config(config), state, layout, role, config)


def frozen_model(config: dict) -> Callable[[Mapping, dict], tuple[dict, dict]] | None:
    """The class method ``frozen`` (:func:`find_backbone`) of a config's model; None if none."""
    kind = model_kind(config)
    return getattr(MODELS.get(kind), 'frozen', None) if kind else None


def load_all(module: nn.Module, state: dict[str, Tensor], path: str) -> None:
    """Load weights, none left over and none missing; a ValueError says what does not fit."""
    foreign = f'{path} holds another architecture than this {type(module).__name__}'
    # Torch overlooks what belongs to parts that a module goes without.
    absent = tuple(
        f'{name}.{part}.'.lstrip('.')
        for name, parent in module.named_modules()
        for part, child in parent._modules.items()
        if child is None
    )
    overlooked = [key for key in state if key.startswith(absent)]
    if overlooked:
        raise ValueError(f'{foreign}: unexpected {", ".join(overlooked[:5])}')
    try:
        module.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f'{foreign}: {error}') from error


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
