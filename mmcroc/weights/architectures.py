"""What a backbone is, in numbers that any library understands, and told by shapes of weights."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isqrt, prod

from torch import Tensor

#: The number of attention heads leaves no trace in the weights; of nearly all ViTs they have 64
#: dimensions.
HEAD_DIM = 64
#: Widths of public models whose heads have others (SO400M, ViT-H, ViT-g, ViT-G).
OTHER_HEAD_DIMS = (1152, 1280, 1408, 1664)
#: Values of MMPretrain's settings that configs leave out.
VIT_DEFAULTS = dict(
    qkv_bias=True,
    with_cls_token=True,
    pre_norm=False,
    final_norm=True,
    interpolate_mode='bicubic',
    num_registers=0,
)
#: (blocks of the stages, whether they are bottlenecks) -> depth
RESNET_DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
PLAIN_STRIDES = (1, 2, 2, 2)


@dataclass(frozen=True)
class ViTArchitecture:
    """A Vision Transformer with absolute positions, by the names of MMPretrain's settings.

    ``img_size`` is (height, width) of the image that the grid of positions covers, and
    ``patch_size`` the side of a patch, in pixels. Of SwiGLU MMPretrain takes two thirds of
    ``feedforward_channels``.
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
    swiglu: bool = False
    num_registers: int = 0

    @classmethod
    def of_state(
        cls,
        state: Mapping[str, Tensor],
        heads: int | None = None,
        img_size: tuple[int, int] | None = None,
    ) -> 'ViTArchitecture':
        """The architecture of an ``mmpretrain.VisionTransformer``'s weights, or ours'.

        Without ``heads`` and ``img_size`` (height, width) a ValueError says so if they cannot be
        told: by :func:`num_heads`, and as a square.
        """
        projection = state['patch_embed.projection.weight']
        dims, patch_size = len(projection), projection.shape[-1]
        with_cls_token = 'cls_token' in state
        patches = state['pos_embed'].shape[1] - with_cls_token
        side = isqrt(patches)
        if img_size is None and (side**2 != patches or patch_size != projection.shape[-2]):
            raise ValueError(f'positions of {patches} patches are of no square image')
        packed = state.get('layers.0.ffn.w12.weight')
        registers = state.get('register_tokens')
        return cls(
            embed_dims=dims,
            num_layers=count_layers(state, r'layers\.(\d+)\.'),
            num_heads=heads or num_heads(dims),
            feedforward_channels=len(state['layers.0.ffn.layers.0.0.weight'])
            if packed is None
            else len(packed) // 2 * 3 // 2,
            img_size=img_size or (side * patch_size, side * patch_size),
            patch_size=patch_size,
            qkv_bias='layers.0.attn.qkv.bias' in state,
            layer_scale='layers.0.attn.gamma1.weight' in state,
            with_cls_token=with_cls_token,
            pre_norm='pre_norm.weight' in state,
            final_norm='ln1.weight' in state,
            swiglu=packed is not None,
            num_registers=0 if registers is None else registers.shape[1],
        )

    @property
    def channels(self) -> int:
        """Channels of the dense map."""
        return self.embed_dims

    @property
    def stride(self) -> int:
        """Stride of the dense map, pixels."""
        return self.patch_size

    @property
    def side(self) -> int | tuple[int, int]:
        """Side of the image that positions cover, or (height, width) if it is no square."""
        height, width = self.img_size
        return height if height == width else self.img_size

    @property
    def name(self) -> str:
        """The architecture in words."""
        registers = f', {self.num_registers} registers' if self.num_registers else ''
        return (
            f'ViT, {self.num_layers} blocks of {self.embed_dims} channels and {self.num_heads} '
            f'heads, patches of {self.patch_size} px, positions of '
            f'{self.img_size[0]}x{self.img_size[1]} px{registers}'
        )

    def config(self, scope: str = 'mmpretrain') -> dict:
        """Config of MMPretrain's module (ours of registers) that gives a map, or of ``'mmcroc'``'s.

        It says what differs from the defaults of the settings.
        """
        arch = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
        cfg: dict = dict(
            type=f'{"mmcroc" if self.num_registers else scope}.VisionTransformer',
            arch={name: getattr(self, name) for name in arch},
            img_size=self.side,
            patch_size=self.patch_size,
        )
        if scope == 'mmpretrain':
            cfg['out_type'] = 'featmap'
        if self.norm_eps != 1e-6:
            cfg['norm_cfg'] = dict(type='LN', eps=self.norm_eps)
        if self.layer_scale:
            cfg['layer_scale_init_value'] = 1e-5  # where training starts; the weights follow
        if self.swiglu:
            cfg['layer_cfgs'] = dict(ffn_type='swiglu_fused')
        if self.num_registers:
            cfg['position_antialias'] = True  # as DINOv2's code resizes those with registers
        cfg.update({k: getattr(self, k) for k, v in VIT_DEFAULTS.items() if getattr(self, k) != v})
        return cfg


@dataclass(frozen=True)
class ResNetArchitecture:
    """A ResNet, by the names of MMSegmentation's and MMPretrain's settings.

    Attributes:
        scope: ``'mmseg'`` or ``'mmpretrain'``; they name the weights of deep stems differently.
        variant: ``'ResNet'``, ``'ResNetV1c'`` (a stem of three convolutions) or ``'ResNetV1d'``
            (that, and average pooling in the shortcuts).
        style: ``'pytorch'`` if bottlenecks stride in their 3x3 convolution, ``'caffe'`` if in
            the first 1x1.
    """

    scope: str
    variant: str
    depth: int
    stem_channels: int
    base_channels: int
    strides: tuple[int, ...] = PLAIN_STRIDES
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    contract_dilation: bool = False
    multi_grid: tuple[int, ...] | None = None
    style: str = 'pytorch'

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> 'ResNetArchitecture':
        """The architecture of weights of ``mmpretrain``'s ResNets, at stride 32.

        A ValueError says so if the blocks are those of none.
        """
        blocks = tuple(count_layers(state, rf'layer{stage}\.(\d+)\.') for stage in range(1, 5))
        is_bottleneck = 'layer1.0.conv3.weight' in state
        if (blocks, is_bottleneck) not in RESNET_DEPTHS:
            raise ValueError(
                f'a ResNet with stages of {blocks} {"bottlenecks" if is_bottleneck else "blocks"} '
                f'is none of depth {", ".join(map(str, RESNET_DEPTHS.values()))}'
            )
        variant, stem = 'ResNet', 'conv1.weight'
        if 'stem.0.conv.weight' in state:
            variant = 'ResNetV1d' if 'layer2.0.downsample.2.weight' in state else 'ResNetV1c'
            stem = 'stem.2.conv.weight'
        return cls(
            scope='mmpretrain',
            variant=variant,
            depth=RESNET_DEPTHS[blocks, is_bottleneck],
            stem_channels=len(state[stem]),
            base_channels=len(state['layer1.0.conv1.weight']),
        )

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
        """Channels of the dense map."""
        return self.stage_channels[-1]

    @property
    def stride(self) -> int:
        """Stride of the dense map, pixels."""
        return 4 * prod(self.strides)

    @property
    def is_plain(self) -> bool:
        """Whether it is the usual one of stride 32, undilated, which every library has."""
        return self.strides == PLAIN_STRIDES and not self.multi_grid and max(self.dilations) == 1

    @property
    def name(self) -> str:
        """The architecture in words."""
        name = f'{self.variant}-{self.depth}'
        if (self.stem_channels, self.base_channels) != (64, 64):
            name += f' of {self.base_channels} channels (stem {self.stem_channels})'
        return f'{name}, {self.geometry}'

    @property
    def geometry(self) -> str:
        """Strides and dilations in words."""
        grid = f', multi_grid {self.multi_grid}' if self.multi_grid else ''
        return f'stride {self.stride}, strides {self.strides}, dilations {self.dilations}{grid}'

    def config(self) -> dict:
        """Config of its library's module, of which the last map comes out."""
        settings = asdict(self)
        kind = f'{settings.pop("scope")}.{settings.pop("variant")}'
        for name in ('contract_dilation', 'multi_grid'):  # MMSegmentation's alone
            if not settings[name]:
                del settings[name]
        norm_cfg = dict(type='BN', requires_grad=True)
        return dict(type=kind, **settings, out_indices=(3,), norm_cfg=norm_cfg)


Architecture = ViTArchitecture | ResNetArchitecture


def count_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many indices a regular expression captures in the names of a network's weights."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def num_heads(dims: int, known: tuple[int, ...] = ()) -> int:
    """Attention heads of a ViT of so many channels; a ValueError if they cannot be known.

    ``known`` are widths besides the common ones.
    """
    if dims % HEAD_DIM or (dims in OTHER_HEAD_DIMS and dims not in known):
        raise ValueError(
            f'of a ViT of {dims} channels the number of attention heads is unknown: load it as '
            'timm:NAME@FILE, or tools/model_converters/to_mmpretrain.py FILE OUT --num-heads N'
        )
    return dims // HEAD_DIM


def vit_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """Config of ours of a ViT's weights; arguments and errors as ``ViTArchitecture.of_state``."""
    return ViTArchitecture.of_state(state, heads).config('mmcroc')


def resnet_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """Config of a ResNet's weights; errors as ``ResNetArchitecture.of_state``."""
    return ResNetArchitecture.of_state(state).config()


def dinov3_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """Config of a DINOv3 ViT in timm, of weights under its names.

    ``heads`` None: of 64 dimensions, of the 7B model 128. Errors as :func:`num_heads`.
    """
    projection = state['patch_embed.proj.weight']
    dims = len(projection)
    is_swiglu = 'blocks.0.mlp.fc1_g.weight' in state
    if heads is None:
        heads = 32 if dims == 4096 else num_heads(dims, known=(1152, 1280))
    return dict(
        type='mmcroc.TimmVisionTransformer',
        model_name=f'vit_small_{"plus_" if is_swiglu else ""}patch16_dinov3_qkvb',
        pretrained=False,
        settings=dict(
            patch_size=projection.shape[-1],
            embed_dim=dims,
            depth=count_layers(state, r'blocks\.(\d+)\.'),
            num_heads=heads,
            # A ratio of which ``int(dims * ratio)`` is surely the hidden width.
            mlp_ratio=(state['blocks.0.mlp.fc2.weight'].shape[1] + 0.25) / dims,
            num_reg_tokens=state['reg_token'].shape[1],
            qkv_bias='blocks.0.attn.q_bias' in state,
        ),
    )
