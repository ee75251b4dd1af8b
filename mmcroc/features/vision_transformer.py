"""MMPretrain's Vision Transformer with a tap on the last attention."""

from typing import NamedTuple

import torch
from mmpretrain.models import VisionTransformer as MMPretrainVisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mmcroc.numerics.precision import at_least_float32, full_float32
from mmcroc.registry import MODELS

ATTENTION_FEATURES = ('q', 'k', 'v')


class TappedTokens(NamedTuple):
    """What one forward gives besides a feature map.

    Attributes:
        cls_token: (B, C) final normed [CLS].
        tokens: (B, n, C) final normed patch tokens, row by row.
        attention: (B, h, 1 + n, d) the wanted one of the last attention's q, k, v, [CLS] first,
            in float32 whatever autocast says; None if none was wanted.
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
        position_offset: Position embeddings of an n x n grid are resized to a grid of h rows by
            the scale factor (h + ``position_offset``) / n, likewise columns. DINO's code has 0.1
            there; 0 resizes to the size itself, as MMPretrain.
        **kwargs: As the parent's; ``out_type`` is ``'raw'`` by default.
    """

    def __init__(self, *, out_type: str = 'raw', position_offset: float = 0.0, **kwargs):
        super().__init__(out_type=out_type, **kwargs)
        self.position_offset = position_offset
        self.patch_size = self.patch_embed.projection.kernel_size[0]

    def init_weights(self):
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
        for embedding in (self.cls_token, self.pos_embed):
            if embedding is not None:
                nn.init.trunc_normal_(embedding, std=0.02)
        self._is_init = True

    def forward(self, images: Tensor) -> tuple:
        """As the parent's, with positions resized as ``position_offset`` says."""
        grid, own = self.grid_size(images), tuple(self.patch_resolution)
        if not self.position_offset or grid == own:
            return super().forward(images)
        positions = self.pos_embed
        # The parent finds a table of the size it wants, and leaves it alone.
        self._parameters['pos_embed'] = self._resize_positions(grid, own)
        self.patch_resolution = grid
        try:
            return super().forward(images)
        finally:
            self._parameters['pos_embed'], self.patch_resolution = positions, own

    def _resize_positions(self, grid, own):
        extra, table = self.pos_embed.split([self.num_extra_tokens, own[0] * own[1]], dim=1)
        factors = [
            (size + self.position_offset) / before for size, before in zip(grid, own, strict=True)
        ]
        table = table.mT.unflatten(-1, own).float()
        table = F.interpolate(table, scale_factor=factors, mode=self.interpolate_mode)
        return torch.cat([extra, table.flatten(2).mT.to(extra)], 1)

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
        if any(side % self.patch_size for side in images.shape[-2:]):
            raise ValueError(
                f'views of {images.shape[-2]}x{images.shape[-1]} px are no multiple of the '
                f"backbone's patch_size={self.patch_size}; change `size` of TwoViews"
            )
        if feature is None:
            return TappedTokens(*self._final_tokens(images), None)
        # A hook for this forward only: nothing is left behind for deep copies or other ranks.
        tapped = []
        qkv = self.layers[-1].attn.qkv
        handle = qkv.register_forward_pre_hook(lambda module, inputs: tapped.append(inputs[0]))
        try:
            cls_token, tokens = self._final_tokens(images)
        finally:
            handle.remove()
        wanted = _third_in_float32(qkv, tapped[0], ATTENTION_FEATURES.index(feature))
        heads = self.layers[-1].attn.num_heads
        return TappedTokens(cls_token, tokens, wanted.unflatten(-1, (heads, -1)).transpose(1, 2))

    def grid_size(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of a batch of images."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size

    def _final_tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        raw = self(images)[-1]
        return raw[:, 0], raw[:, self.num_extra_tokens :]


def _third_in_float32(qkv: nn.Linear, tokens: Tensor, third: int) -> Tensor:
    """One third of a joint projection of (B, 1 + n, C) normed tokens, (B, 1 + n, C).

    The projection that attention uses is rounded to 8 bits under bfloat16, which changes the
    clusters of keys. Its input is not: a residual stream that began in float32 stays in it. So the
    wanted third is computed again.
    """
    weight = qkv.weight.chunk(3)[third]
    bias = None if qkv.bias is None else qkv.bias.chunk(3)[third]
    with full_float32(tokens.device):
        tokens, weight = at_least_float32(tokens), at_least_float32(weight)
        return F.linear(tokens, weight, None if bias is None else at_least_float32(bias))
