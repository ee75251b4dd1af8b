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

from mmcroc.features.dense_tokens import chosen_layers
from mmcroc.numerics.precision import full_float32, in_float32
from mmcroc.registry import MODELS

ATTENTION_FEATURES = ('q', 'k', 'v')


class StochasticDepth(nn.Module):
    """Leave a residual branch out, sample by sample, and scale up what is kept.

    Huang et al., *Deep Networks with Stochastic Depth*, ECCV 2016. The same as MMCV's
    ``DropPath``, but with the probability in a tensor: the compiler takes a number for a constant,
    and would make a program for each block.

    Args:
        drop_prob: Probability of leaving out, in training.
    """

    kept: Tensor

    def __init__(self, drop_prob: float):
        super().__init__()
        self.register_buffer('kept', torch.tensor(1 - drop_prob), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Branches (B, ...), of which each sample's is 0 or scaled in training."""
        if not self.training:
            return x
        draws = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x / self.kept * (self.kept + draws).floor()


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


class PartwayTokens(NamedTuple):
    """Tokens on their way through a network's blocks.

    Attributes:
        tokens: (B, N, C), with [CLS] and registers.
        grid: Rows and columns of patches.
        blocks: Number of blocks that they have passed.
    """

    tokens: Tensor
    grid: tuple[int, int]
    blocks: int


@MODELS.register_module()
class VisionTransformer(MMPretrainVisionTransformer):
    """``mmpretrain.VisionTransformer`` that also hands out its last block's queries, keys, values.

    Parameter names are the parent's: its checkpoints are MMPretrain checkpoints. Without an
    ``init_cfg`` the weights start as in DINO's and CrOC's code (MMPretrain's own start differs):
    linear layers, [CLS] and position embedding normal with std 0.02, biases 0; the patch
    convolution keeps torch's default. ``torch.compile`` makes one program for all blocks.

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
        for parent in [*self.modules()]:
            for name, child in parent.named_children():
                if isinstance(child, DropPath):
                    prob = float(child.drop_prob)
                    setattr(parent, name, StochasticDepth(prob) if prob else nn.Identity())

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.layers)

    @property
    def num_heads(self) -> int:
        """Attention heads of a block."""
        return self.layers[-1].attn.num_heads

    def train_last_blocks(self, number: int) -> int:
        """Freeze all but the last blocks and the final norm.

        Args:
            number: Number of blocks to train.

        Returns:
            Number of frozen blocks.

        Raises:
            ValueError: There are not so many.
        """
        return train_last_blocks(self, self.layers, self.ln1 if self.final_norm else None, number)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer decay, as MMPretrain's; before the blocks: 0."""
        depth, number = super().get_layer_depth(param_name, prefix)
        name = param_name.removeprefix(prefix)
        return 0 if name.startswith(('register_tokens', 'pre_norm')) else depth, number

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

    @torch.compiler.disable(recursive=False)
    def first_blocks(self, images: Tensor, number: int) -> PartwayTokens:
        """Tokens of images (B, 3, H, W) after the first ``number`` blocks."""
        tokens, grid = self.patch_embed(images)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = self.drop_after_pos(tokens + self._positions(tuple(grid)))
        if self.register_tokens is not None:
            cls_token, patches = tokens.tensor_split([self.num_extra_tokens], 1)
            registers = self.register_tokens.expand(len(tokens), -1, -1)
            tokens = torch.cat([cls_token, registers, patches], 1)
        tokens = self.pre_norm(tokens)
        for index in range(number):
            tokens = self.layers[index](tokens)
        return PartwayTokens(tokens, tuple(grid), number)

    @torch.compiler.disable(recursive=False)
    def _tokens_after(
        self, images: Tensor, blocks: Sequence[int], partway: PartwayTokens | None = None
    ) -> tuple[list[Tensor], tuple]:
        """Tokens (B, extra + n, C) after some blocks, -1 for before the first, and their grid."""
        tokens, grid, passed = partway or self.first_blocks(images, 0)
        after = [self._without_registers(tokens)] if passed - 1 in blocks else []
        for index in range(passed, len(self.layers)):
            tokens = self.layers[index](tokens)
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

    @torch.compiler.disable(recursive=False)
    def forward_tapped(
        self, images: Tensor, feature: str | None = None, partway: PartwayTokens | None = None
    ) -> TappedTokens:
        """Forward once and keep the pieces that clustering needs.

        Args:
            images: (B, 3, H, W).
            feature: ``'q'``, ``'k'`` or ``'v'`` of the last block, or None.
            partway: Tokens of these images to go on with, of :meth:`first_blocks`, where not all
                blocks are passed.

        Returns:
            Tokens and the wanted feature.

        Raises:
            ValueError: The image size is no multiple of the patch size (patches of padding would
                have no place in the image).
        """
        require_whole_patches(images, self.patch_size)
        last = len(self.layers) - 1
        (before, after), _ = self._tokens_after(images, [last - 1, last], partway)
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

    def layer_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Final-normed maps (B, C, h, w) of blocks, numbered from 0 or from the end.

        Raises:
            ValueError: There is no such block, or the image is no multiple of the patch size.
        """
        require_whole_patches(images, self.patch_size)
        last = len(self.layers) - 1

        def maps(wanted: list[int]) -> list[Tensor]:
            blocks, grid = self._tokens_after(images, wanted)
            normed = [
                self.ln1(block) if self.final_norm and index != last else block
                for index, block in zip(wanted, blocks, strict=True)
            ]
            return [
                block[:, self.num_extra_tokens :].mT.unflatten(-1, tuple(grid)) for block in normed
            ]

        return chosen_layers(layers, last + 1, type(self).__name__, maps)

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of a batch of images."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size


def train_last_blocks(
    backbone: nn.Module, blocks: nn.ModuleList, final_norm: nn.Module | None, number: int
) -> int:
    """Freeze all of a backbone but its last blocks and its final norm.

    Args:
        backbone: The backbone.
        blocks: All its blocks.
        final_norm: Norm behind them.
        number: Number of blocks to train.

    Returns:
        Number of frozen blocks.

    Raises:
        ValueError: There are not so many.
    """
    if not 1 <= number <= len(blocks):
        raise ValueError(
            f'trained_blocks must be between 1 and the {len(blocks)} blocks of the backbone, '
            f'got {number}'
        )
    backbone.requires_grad_(False)
    for module in (*blocks[-number:], final_norm):
        if module is not None:
            module.requires_grad_(True)
    return len(blocks) - number


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
