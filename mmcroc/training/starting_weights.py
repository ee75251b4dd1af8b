"""The backbone that a training starts from: any MODEL that evaluation takes and CrOC can train."""

from typing import Any

import torch
from mmengine.config import Config

from mmcroc.features.checkpoint_backbone import FoundBackbone, find_backbone
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import read_checkpoint, split_checkpoint

#: What ``init_cfg.checkpoint`` has before a MODEL.
SCHEME = 'backbone:'
TRAINABLE = ('VisionTransformer', 'TimmVisionTransformer')


def start_from(cfg: Config, model: str) -> None:
    """Let a training of CrOC or DINO start from a MODEL, or HSG group the tokens of a frozen one.

    Architecture, patches, layer scale, registers and the neck's input are the MODEL's; the rate of
    stochastic depth stays the config's. Student and teacher start alike. A frozen one
    (:func:`mmcroc.hsg.frozen_backbone.freeze`) may be any that :func:`mmcroc.features.load_model`
    takes.

    Args:
        cfg: The run's config, changed in place.
        model: A checkpoint with ``:student`` or ``:teacher`` behind it or not, ``hf:FOLDER``,
            ``timm:NAME`` or ``timm:NAME@FILE``, as :func:`mmcroc.features.load_model` takes them.

    Raises:
        FileNotFoundError, ValueError: There is no such model, its weights do not fit, the method
            cannot train it, or its patches do not divide the views.
    """
    if cfg.model.backbone.get('type') == 'mmcroc.FrozenBackbone':
        # Here: it imports every library that MODELs come from.
        from mmcroc.hsg.frozen_backbone import freeze

        _require_whole_patches(cfg, freeze(cfg.model, model).stride)
        return
    if 'target_generator' not in cfg.model:
        raise ValueError(
            '--backbone is for CrOC, DINO and configs of a FrozenBackbone, not for this '
            f'{cfg.model.type}'
        )
    found = find_trainable(model)
    backbone: Any = found.build(model)
    _require_whole_patches(cfg, backbone.patch_size)
    config = dict(found.config, init_cfg=dict(type='Pretrained', checkpoint=f'{SCHEME}{model}'))
    drop_path = cfg.model.backbone.get('drop_path_rate', 0.0)
    if 'model_name' in config:
        config['settings'] = dict(config['settings'], drop_path_rate=drop_path)
    else:
        config['drop_path_rate'] = drop_path
    cfg.model.backbone = config
    cfg.model.neck.in_channels = backbone.embed_dims


def _require_whole_patches(cfg: Config, patch_size: int) -> None:
    """Refuse views whose sides a MODEL's patches do not divide."""
    for number, transform in enumerate(cfg.train_dataloader.dataset.pipeline):
        size = transform.get('size')
        if size and size % patch_size:
            raise ValueError(
                f'views of {size} px are no multiple of its patches of {patch_size} px: set '
                f'train_dataloader.dataset.pipeline.{number}.size={size // patch_size * patch_size}'
            )


def load_from_model(filename: str, map_location: Any = None) -> dict:
    """The backbone of ``backbone:MODEL`` as a checkpoint, under the names of its module.

    Args:
        filename: The name.
        map_location: Ignored: who loads tensors copies them to where they belong.
    """
    return dict(state_dict=find_trainable(filename.removeprefix(SCHEME)).state)


def find_trainable(model: str) -> FoundBackbone:
    """Config and weights of a MODEL that CrOC can train; arguments, errors: :func:`start_from`."""
    if model.startswith('timm:'):
        return _of_timm(model)
    path, part = (model, '') if model.startswith('hf:') else split_checkpoint(model) or ('', '')
    if not path:
        raise ValueError(
            'it is no checkpoint, hf:FOLDER or timm:NAME, the models that training can start from'
        )
    found = find_backbone(*read_checkpoint(path), part)
    config = {key: value for key, value in found.config.items() if key != 'out_type'}
    if config['type'] == 'mmpretrain.VisionTransformer':  # the same with a tap
        config['type'] = 'mmcroc.VisionTransformer'
    return _require_trainable(found._replace(config=config))


def _of_timm(model: str) -> FoundBackbone:
    """A model of timm's under our names, if that gives the same tokens."""
    name, _, path = model.removeprefix('timm:').partition('@')
    cfg = dict(type='mmcroc.TimmBackbone', model_name=name, checkpoint_path=path)
    theirs: Any = MODELS.build(cfg)
    blocks = getattr(theirs.model, 'blocks', None)
    heads = getattr(getattr(blocks[0], 'attn', None), 'num_heads', None) if blocks else None
    found = find_backbone(theirs.model.state_dict(), {}, heads=heads)
    _require_trainable(found)
    if not _same_tokens(found.build(model), theirs):
        raise ValueError(
            f'{type(theirs.model).__name__} of timm computes other tokens than mmcroc.'
            'VisionTransformer with its weights (another activation or norm), so CrOC cannot '
            'train it'
        )
    return found


def _require_trainable(found: FoundBackbone) -> FoundBackbone:
    """Refuse backbones without a tap on their attention."""
    kind = found.config['type'].rpartition('.')[2]
    if kind not in TRAINABLE:
        raise ValueError(
            f'it is a {kind}, which has no [CLS] and no keys of attention: CrOC trains Vision '
            'Transformers'
        )
    return found


@torch.no_grad()
def _same_tokens(ours: Any, theirs: Any) -> bool:
    """Whether two networks give the same tokens of an image of the size of timm's model."""
    size = theirs.model.patch_embed.img_size
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    ours.eval(), theirs.eval()
    one, other = ours.forward_tapped(image).tokens, theirs(image)[0].flatten(2).mT
    return bool(torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max())))
