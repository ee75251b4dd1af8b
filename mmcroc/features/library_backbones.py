"""Backbones of timm and of Hugging Face's transformers, and colour and position."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmcroc.features.checkpoint_backbone import load_all
from mmcroc.features.dense_tokens import as_map, chosen_layers
from mmcroc.features.vision_transformer import (
    ATTENTION_FEATURES,
    PartwayTokens,
    TappedTokens,
    inputs_of,
    linear_in_float32,
    require_whole_patches,
    train_last_blocks,
)
from mmcroc.optional import require
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import NOT_FEATURES, backbone_weights
from mmcroc.weights.checkpoint_file import read_checkpoint

#: Weights of transformers' models that tokens do not depend on: absent from files, or random.
NOT_TOKENS = ('pooler.',)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A timm model's final feature map.

    Of Vision Transformers: the final-normed patch tokens, [CLS] and registers dropped, position
    embedding interpolated to any input size.

    Args:
        model_name: Name such as ``'vit_small_patch16_224.dino'`` or ``'resnet50'``.
        pretrained: Load timm's weights, from its cache or the network.
        checkpoint_path: File of weights in timm's layout to load instead.
        settings: Settings in which the model differs from its name, such as ``dict(depth=6)``.
        init_cfg: Initialisation, as MMEngine's.

    Raises:
        ImportError: timm is not installed.
        ValueError: timm has no such model, or the weights do not fit.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = True,
        checkpoint_path: str = '',
        settings: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
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
            state = backbone_weights(read_checkpoint(checkpoint_path)[0]).state
            own = self.model.state_dict()
            # Some models have a norm in their head.
            kept = {k: v for k, v in state.items() if k in own or not k.startswith(NOT_FEATURES)}
            load_all(self.model, kept, checkpoint_path)

    def init_weights(self) -> None:
        """Weights of ``init_cfg``; without one those that timm's model has stay."""
        if self.init_cfg:
            super().init_weights()
        self._is_init = True

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W)."""
        last = self.model.forward_intermediates(images, 1, norm=True, intermediates_only=True)
        return (last[-1],)

    def layer_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maps (B, C, h, w) of layers, numbered from 0 or from the end, final-normed in a ViT.

        Raises:
            ValueError: There is no such layer.
        """

        def maps(wanted: list[int]) -> list[Tensor]:
            return self.model.forward_intermediates(
                images, wanted, norm=True, intermediates_only=True
            )

        return chosen_layers(layers, len(self.model.feature_info), type(self.model).__name__, maps)


@MODELS.register_module()
class TimmVisionTransformer(TimmBackbone):
    """A timm Vision Transformer that CrOC can train, such as DINOv3's.

    Its positions may be rotary: queries and keys are those before the rotation, which tell what a
    token is and not where. Arguments and errors are those of :class:`TimmBackbone`.
    """

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.model.patch_embed.patch_size[0]

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.model.blocks)

    @property
    def num_heads(self) -> int:
        """Attention heads of a block."""
        return self.model.blocks[-1].attn.num_heads

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of images (B, 3, H, W)."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size

    @property
    def embed_dims(self) -> int:
        """Channels of a token."""
        return self.model.embed_dim

    def train_last_blocks(self, number: int) -> int:
        """Freeze all but the last blocks and the final norm; gives the number of frozen blocks.

        Raises:
            ValueError: There are not so many.
        """
        return train_last_blocks(self, self.model.blocks, self.model.norm, number)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer decay and the number of depths, as MMPretrain's."""
        number = len(self.model.blocks) + 2
        first, *rest = param_name.removeprefix(f'{prefix}model.').split('.')
        if first == 'blocks':
            return int(rest[0]) + 1, number
        is_stem = first in ('cls_token', 'reg_token', 'pos_embed', 'patch_embed', 'norm_pre')
        return 0 if is_stem else number - 1, number

    def first_blocks(self, images: Tensor, number: int) -> PartwayTokens:
        """Tokens of images (B, 3, H, W) after the first ``number`` blocks, 1 at least."""
        ((tokens, prefix),) = self.model.forward_intermediates(
            images, [number - 1], return_prefix_tokens=True, stop_early=True, output_fmt='NLC',
            intermediates_only=True,
        )  # fmt: skip
        return PartwayTokens(torch.cat([prefix, tokens], 1), self.grid_size(images), number)

    def _last_blocks(self, partway: PartwayTokens) -> Tensor:
        """Final-normed tokens (B, N, C) of tokens on their way."""
        tokens, rope = partway.tokens, getattr(self.model, 'rope', None)
        options = {} if rope is None else dict(rope=rope.get_embed(shape=list(partway.grid)))
        for block in self.model.blocks[partway.blocks :]:
            tokens = block(tokens, **options)
        return self.model.norm(tokens)

    def forward_tapped(
        self, images: Tensor, feature: str | None = None, partway: PartwayTokens | None = None
    ) -> TappedTokens:
        """Tokens of images (B, 3, H, W) and, if wanted, ``'q'``, ``'k'`` or ``'v'`` of attention.

        ``partway``, tokens of :meth:`first_blocks`, spares the blocks that they have passed.

        Raises:
            ValueError: The image size is no multiple of the patch size.
        """
        require_whole_patches(images, self.patch_size)
        attention = self.model.blocks[-1].attn
        with inputs_of(attention) as inputs:  # some call the functional form of its layer
            tokens = self._last_blocks(partway) if partway else self.model.forward_features(images)
        prefix = self.model.num_prefix_tokens
        if feature is None:
            return TappedTokens(tokens[:, 0], tokens[:, prefix:], None)
        third = ATTENTION_FEATURES.index(feature)
        bias = attention.qkv.bias
        if bias is not None:
            bias = bias.chunk(3)[third]
        elif feature != 'k':  # DINOv3's keys have none
            bias = getattr(attention, f'{feature}_bias', None)
        seen = torch.cat([inputs[0][:, :1], inputs[0][:, prefix:]], 1)
        wanted = linear_in_float32(seen, attention.qkv.weight.chunk(3)[third], bias)
        heads = wanted.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return TappedTokens(tokens[:, 0], tokens[:, prefix:], heads)


@contextmanager
def _without_bar(library: Any, is_folder: bool) -> Iterator[None]:
    """Leave out the progress bar of loading a folder, which takes a moment; downloads have one."""
    logs = library.utils.logging
    hide = is_folder and logs.is_progress_bar_enabled()
    if hide:
        logs.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logs.enable_progress_bar()


@MODELS.register_module()
class HuggingFaceBackbone(BaseModule):
    """The final feature map of a vision model of ``transformers``.

    Of Vision Transformers: the last hidden state's patch tokens, [CLS] and registers dropped,
    position embedding interpolated to any input size.

    Args:
        name: Name on the hub, such as ``'facebook/dinov2-small'``, or a local folder as
            ``save_pretrained`` writes it. Code in it is not run.

    Raises:
        ImportError: transformers is not installed.
        ValueError: There is no such model, or weights are missing.
    """

    def __init__(self, name: str):
        super().__init__()
        library = require('transformers', f'hf:{name}', 'mmcroc[export]')
        try:
            with _without_bar(library, Path(name).is_dir()):
                self.model, info = library.AutoModel.from_pretrained(
                    name, output_loading_info=True, trust_remote_code=False
                )
        except (OSError, ValueError) as error:
            raise ValueError(f'hf:{name} cannot be loaded: {error}') from error
        missing = [key for key in info['missing_keys'] if not key.startswith(NOT_TOKENS)]
        wrong = missing + [str(key) for key in info['mismatched_keys']]
        if wrong:
            raise ValueError(f'hf:{name} lacks weights of {type(self.model).__name__}: {wrong[:5]}')
        takes = inspect.signature(self.model.forward).parameters
        option = 'interpolate_pos_encoding'
        self.name, self.options = name, {option: True} if option in takes else {}

    def init_weights(self) -> None:
        """Nothing: the weights are there."""
        self._is_init = True

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W), normalised."""
        hidden = self.model(pixel_values=images, **self.options).last_hidden_state
        return (self._map(hidden, images),)

    def layer_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maps (B, C, h, w) of layers, numbered from 0 or from the end, final-normed in a ViT.

        Raises:
            ValueError: There is no such layer, or hidden states without the final norm's name.
        """
        output = self.model(pixel_values=images, output_hidden_states=True, **self.options)
        *hidden, _ = output.hidden_states[1:]  # the first is what enters the first layer
        norm = getattr(self.model, 'layernorm', getattr(self.model, 'norm', None))
        if output.last_hidden_state.dim() == 3 and norm is None:
            raise ValueError(
                f'hf:{self.name}: {type(self.model).__name__} has no final norm called layernorm '
                'or norm, which its other layers have to pass: ask for its last map only'
            )

        def maps(wanted: list[int]) -> list[Tensor]:
            normed = [norm(h) if norm is not None and h.dim() == 3 else h for h in hidden]
            every = [*normed, output.last_hidden_state]
            return [self._map(every[layer], images) for layer in wanted]

        return chosen_layers(layers, 1 + len(hidden), f'hf:{self.name}', maps)

    def _map(self, hidden: Tensor, images: Tensor) -> Tensor:
        """The map (B, C, h, w) of hidden states, [CLS] and registers dropped."""
        if hidden.dim() == 3:
            hidden = hidden[:, 1 + getattr(self.model.config, 'num_register_tokens', 0) :]
        return as_map(hidden, images, f'hf:{self.name}')


@MODELS.register_module()
class ColourPosition(BaseModule):
    """Mean colour and position of each patch: (red, green, blue, y, x), a baseline to beat.

    Args:
        patch_size: Side of a patch, pixels.
    """

    def __init__(self, patch_size: int = 16):
        super().__init__()
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, 5, h, w) map of images (B, 3, H, W); positions are in (-1, 1)."""
        colour = F.avg_pool2d(images, self.patch_size)
        sides = [
            2 * (torch.arange(n, device=images.device) + 0.5) / n - 1 for n in colour.shape[2:]
        ]
        position = torch.stack(torch.meshgrid(*sides, indexing='ij')).to(colour)
        return (torch.cat([colour, position.expand(len(images), -1, -1, -1)], 1),)
