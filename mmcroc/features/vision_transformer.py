"""MMPretrain's Vision Transformer with a tap on the last attention."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmcv.cnn.bricks.drop import DropPath
from mmpretrain.models import VisionTransformer as MMPretrainVisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn
from torch.nn import functional as F

from mmcroc.numerics.precision import full_float32, in_float32
from mmcroc.registry import MODELS

ATTENTION_FEATURES = ('q', 'k', 'v')


class TappedTokens(NamedTuple):
    """What one forward gives besides a feature map.

    Attributes:
        cls_token: (B, C) final normed [CLS].
        tokens: (B, n, C) final normed patch tokens, row by row.
        attention: (B, h, 1 + n, d) the wanted one of the last attention's q, k, v, [CLS] first,
            without registers, in float32 whatever autocast says; None if none was wanted.
    """

    cls_token: Tensor
    tokens: Tensor
    attention: Tensor | None


@MODELS.register_module()
class VisionTransformer(MMPretrainVisionTransformer):
    """``mmpretrain.VisionTransformer`` that also hands out its last block's queries, keys, values.

    Parameter names are the parent's: its checkpoints are MMPretrain checkpoints. Without an
    ``init_cfg`` the weights start as in DINO's and CrOC's code (MMPretrain's own start differs):
    linear layers, [CLS] and position embedding normal with std 0.02, biases 0; the patch
    convolution keeps torch's default.

    Args:
        out_type: Kind of output; ``'raw'`` is [CLS] and patch tokens, without registers.
        position_offset: Position embeddings of an n x n grid are resized to a grid of h rows by
            the scale factor (h + ``position_offset``) / n, likewise columns. DINO's code has 0.1
            there; 0 resizes to the size itself, as MMPretrain.
        position_antialias: Resize position embeddings antialiased, as DINOv2's code those of
            models with registers.
        num_registers: Number of register tokens (Darcet et al., *Vision Transformers Need
            Registers*, ICLR 2024), which attention sees and no output holds.
        **kwargs: Settings of the parent.
    """

    def __init__(
        self,
        *,
        out_type: str = 'raw',
        position_offset: float = 0.0,
        position_antialias: bool = False,
        num_registers: int = 0,
        **kwargs,
    ):
        super().__init__(out_type=out_type, **kwargs)
        self.position_offset, self.position_antialias = position_offset, position_antialias
        self.num_registers = num_registers
        registers = torch.zeros(1, num_registers, self.embed_dims)
        self.register_tokens = nn.Parameter(registers) if num_registers else None
        self.patch_size = self.patch_embed.projection.kernel_size[0]
        for module in self.modules():
            if isinstance(module, DropPath):  # numpy's number would break torch.compile's graph
                module.drop_prob = float(module.drop_prob)

    @property
    def num_heads(self) -> int:
        """Attention heads of a block."""
        return self.layers[-1].attn.num_heads

    def set_position_offset(self, offset: float) -> None:
        """Resize position embeddings with another ``position_offset`` from now on."""
        self.position_offset = offset

    def init_weights(self) -> None:
        """Weights of ``init_cfg``, or DINO's start."""
        if self.init_cfg:
            cfgs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg]
            if any(cfg['type'] == 'Pretrained' for cfg in cfgs):
                # Not the parent's, which draws the loaded positions anew if it is in a list.
                super(MMPretrainVisionTransformer, self).init_weights()
            else:
                super().init_weights()
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        self.patch_embed.projection.reset_parameters()
        for embedding in (self.cls_token, self.pos_embed, self.register_tokens):
            if embedding is not None:
                nn.init.trunc_normal_(embedding, std=0.02)
        self._is_init = True

    def forward(self, images: Tensor) -> tuple:
        """Outputs of the blocks in ``out_indices`` for images (B, 3, H, W), by ``out_type``."""
        tokens, grid = self._tokens_after(images, self.out_indices)
        return tuple(self._format_output(one, grid) for one in tokens)

    def _tokens_after(self, images: Tensor, blocks: Sequence[int]) -> tuple[list[Tensor], tuple]:
        """Tokens (B, extra + n, C) after some blocks, -1 for before the first, and their grid."""
        tokens, grid = self.patch_embed(images)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = self.drop_after_pos(tokens + self._positions(tuple(grid)))
        if self.register_tokens is not None:
            cls_token, patches = tokens.tensor_split([self.num_extra_tokens], 1)
            registers = self.register_tokens.expand(len(tokens), -1, -1)
            tokens = torch.cat([cls_token, registers, patches], 1)
        tokens = self.pre_norm(tokens)
        after = [self._without_registers(tokens)] if -1 in blocks else []
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens)
            if index == len(self.layers) - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if index in blocks:
                after.append(self._without_registers(tokens))
        return after, grid

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings (1, extra + n, C) for a grid of patches."""
        own = tuple(self.patch_resolution)
        if not (self.position_offset or self.position_antialias):
            return resize_pos_embed(
                self.pos_embed, own, grid, self.interpolate_mode, self.num_extra_tokens
            )
        if grid == own:
            return self.pos_embed
        extra, table = self.pos_embed.split([self.num_extra_tokens, own[0] * own[1]], dim=1)
        table = table.mT.unflatten(-1, own).float()
        options = dict(mode=self.interpolate_mode, antialias=self.position_antialias)
        if self.position_offset:
            offset = self.position_offset
            factors = [(size + offset) / before for size, before in zip(grid, own, strict=True)]
            table = F.interpolate(table, scale_factor=factors, **options)
        else:
            table = F.interpolate(table, grid, **options)
        return torch.cat([extra, table.flatten(2).mT.to(extra)], 1)

    def _without_registers(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, ...) without the register tokens behind [CLS]."""
        if not self.num_registers:
            return tokens
        cls_token, _, patches = tokens.tensor_split(
            [self.num_extra_tokens, self.num_extra_tokens + self.num_registers], 1
        )
        return torch.cat([cls_token, patches], 1)

    def forward_tapped(self, images: Tensor, feature: str | None = None) -> TappedTokens:
        """Forward once and keep the pieces that clustering needs.

        Args:
            images: (B, 3, H, W).
            feature: ``'q'``, ``'k'`` or ``'v'`` of the last block, or None.

        Returns:
            Tokens and the wanted feature.

        Raises:
            ValueError: The image size is no multiple of the patch size (patches of padding would
                have no place in the image).
        """
        require_whole_patches(images, self.patch_size)
        last = len(self.layers) - 1
        (before, after), _ = self._tokens_after(images, [last - 1, last])
        cls_token, tokens = after[:, 0], after[:, self.num_extra_tokens :]
        if feature is None:
            return TappedTokens(cls_token, tokens, None)
        third = ATTENTION_FEATURES.index(feature)
        qkv = self.layers[last].attn.qkv
        wanted = linear_in_float32(
            self.layers[last].ln1(before),
            qkv.weight.chunk(3)[third],
            None if qkv.bias is None else qkv.bias.chunk(3)[third],
        )
        heads = wanted.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return TappedTokens(cls_token, tokens, heads)

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of a batch of images."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size


def require_whole_patches(images: Tensor, patch_size: int) -> None:
    """Refuse images (B, 3, H, W) whose sides are no multiple of the patch size.

    Raises:
        ValueError: They are not.
    """
    height, width = images.shape[-2:]
    if height % patch_size or width % patch_size:
        raise ValueError(
            f'views of {height}x{width} px are no multiple of the '
            f"backbone's patch_size={patch_size}; change `size` of TwoViews"
        )


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module is given inside of the context, a tensor for each call.

    Its hook is there for so long only: nothing is left behind for deep copies or other ranks.
    """
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        yield inputs
    finally:
        handle.remove()


@in_float32
def linear_in_float32(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear map of normed tokens (B, 1 + n, C), at least in float32: (B, 1 + n, D).

    The projection that attention uses is rounded to 8 bits under bfloat16, which changes the
    clusters of keys. Its input is not: a residual stream that began in float32 stays in it. So the
    wanted third of it is computed again.
    """
    return F.linear(tokens, weight, bias)


def cls_attention(query: Tensor, key: Tensor) -> Tensor:
    """Attention of [CLS] to every token, by head: ``softmax(q_cls · k / √d)``.

    Vaswani et al., *Attention Is All You Need*, 2017, equation 1, of one query.

    Args:
        query: Queries (B, h, N, d), [CLS] first.
        key: Keys (B, h, N, d), [CLS] first.

    Returns:
        (B, h, N), float32, summing to 1; the first is [CLS]'s attention to itself.
    """
    with full_float32(query.device):
        query, key = query[:, :, :1].float(), key.float()
        logits = query @ key.mT / query.shape[-1] ** 0.5
        return torch.softmax(logits, dim=-1).squeeze(-2)
