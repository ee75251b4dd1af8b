"""What a backbone is, in numbers that any library understands."""

from dataclasses import dataclass

PLAIN_STRIDES = (1, 2, 2, 2)


@dataclass(frozen=True)
class ViTArchitecture:
    """A Vision Transformer with absolute positions, as MMPretrain builds it.

    Attributes:
        embed_dims: Channels of a token.
        num_layers: Number of blocks.
        num_heads: Of each attention.
        feedforward_channels: Hidden channels of each MLP.
        img_size: (height, width) of the grid of positions, pixels.
        patch_size: Side of a patch, pixels.
        norm_eps: Of the layer norms.
        qkv_bias: Whether queries, keys and values have one.
        layer_scale: Whether blocks have learned gains.
        with_cls_token: Whether there is a [CLS].
        pre_norm: Whether a norm comes before the first block.
        final_norm: Whether one comes after the last.
        interpolate_mode: How positions are resized.
    """

    embed_dims: int
    num_layers: int
    num_heads: int
    feedforward_channels: int
    img_size: tuple[int, int]
    patch_size: int
    norm_eps: float = 1e-6
    qkv_bias: bool = True
    layer_scale: bool = False
    with_cls_token: bool = True
    pre_norm: bool = False
    final_norm: bool = True
    interpolate_mode: str = 'bicubic'

    @property
    def channels(self) -> int:
        """Of the dense map."""
        return self.embed_dims

    @property
    def stride(self) -> int:
        """Of the dense map, pixels."""
        return self.patch_size

    @property
    def name(self) -> str:
        """For people."""
        return (
            f'ViT, {self.num_layers} blocks of {self.embed_dims} channels and {self.num_heads} '
            f'heads, patches of {self.patch_size} px, positions of '
            f'{self.img_size[0]}x{self.img_size[1]} px'
        )

    def config(self) -> dict:
        """As MMPretrain's; the feature map is what comes out."""
        cfg = dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(
                embed_dims=self.embed_dims,
                num_layers=self.num_layers,
                num_heads=self.num_heads,
                feedforward_channels=self.feedforward_channels,
            ),
            img_size=self.img_size[0] if self.is_square else self.img_size,
            patch_size=self.patch_size,
            out_type='featmap',
        )
        if self.norm_eps != 1e-6:
            cfg['norm_cfg'] = dict(type='LN', eps=self.norm_eps)
        if self.layer_scale:
            cfg['layer_scale_init_value'] = 1e-5  # where training starts; the weights follow
        usual = dict(
            qkv_bias=True,
            with_cls_token=True,
            pre_norm=False,
            final_norm=True,
            interpolate_mode='bicubic',
        )
        cfg.update({k: getattr(self, k) for k, v in usual.items() if getattr(self, k) != v})
        return cfg

    @property
    def is_square(self) -> bool:
        """Whether positions are."""
        return self.img_size[0] == self.img_size[1]


@dataclass(frozen=True)
class ResNetArchitecture:
    """A ResNet, as MMSegmentation or MMPretrain builds it.

    Attributes:
        scope: ``'mmseg'`` or ``'mmpretrain'``; they name the weights of deep stems differently.
        variant: ``'ResNet'``, ``'ResNetV1c'`` (a stem of three convolutions) or ``'ResNetV1d'``
            (that, and average pooling in the shortcuts).
        depth: 18, 34, 50, 101 or 152.
        stem_channels: After the stem.
        base_channels: Of the first stage's 3x3 convolutions.
        strides, dilations: Of the four stages.
        contract_dilation, multi_grid: MMSegmentation's, of stages and of the last stage's blocks.
        style: ``'pytorch'`` if bottlenecks stride in their 3x3 convolution, ``'caffe'`` if in
            the first 1x1.
    """

    scope: str
    variant: str
    depth: int
    stem_channels: int
    base_channels: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    contract_dilation: bool = False
    multi_grid: tuple[int, ...] | None = None
    style: str = 'pytorch'

    @property
    def expansion(self) -> int:
        """Output channels of a block over those of its 3x3 convolution."""
        return 1 if self.depth < 50 else 4

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of the stages."""
        return tuple(self.expansion * self.base_channels * 2**stage for stage in range(4))

    @property
    def channels(self) -> int:
        """Of the dense map."""
        return self.stage_channels[-1]

    @property
    def stride(self) -> int:
        """Of the dense map, pixels."""
        product = 4
        for stride in self.strides:
            product *= stride
        return product

    @property
    def is_plain(self) -> bool:
        """Whether it is the usual one of stride 32, which every library has."""
        return self.strides == PLAIN_STRIDES and not self.is_dilated

    @property
    def is_dilated(self) -> bool:
        """Whether any convolution is."""
        return self.multi_grid is not None or any(dilation > 1 for dilation in self.dilations)

    @property
    def name(self) -> str:
        """For people."""
        name = f'{self.variant}-{self.depth}'
        if (self.stem_channels, self.base_channels) != (64, 64):
            name += f' of {self.base_channels} channels (stem {self.stem_channels})'
        return f'{name}, {self.geometry}'

    @property
    def geometry(self) -> str:
        """Strides and dilations, for people."""
        parts = [f'stride {self.stride}', f'strides {self.strides}', f'dilations {self.dilations}']
        if self.multi_grid:
            parts.append(f'multi_grid {self.multi_grid}')
        return ', '.join(parts)

    def config(self) -> dict:
        """As its library's; the last map is what comes out."""
        cfg = dict(
            type=f'{self.scope}.{self.variant}',
            depth=self.depth,
            stem_channels=self.stem_channels,
            base_channels=self.base_channels,
            strides=self.strides,
            dilations=self.dilations,
            out_indices=(3,),
            style=self.style,
            norm_cfg=dict(type='BN', requires_grad=True),
        )
        if self.contract_dilation:
            cfg['contract_dilation'] = True
        if self.multi_grid:
            cfg['multi_grid'] = self.multi_grid
        return cfg


Architecture = ViTArchitecture | ResNetArchitecture
