"""How a backbone's weights are named in files that hold no config, told by their keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmcroc.weights.architectures import (
    resnet_config,
    timm_dinov3_config,
    timm_registers_config,
    vision_transformer_config,
)
from mmcroc.weights.dinov2 import dinov2_to_timm
from mmcroc.weights.dinov3 import dinov3_to_timm
from mmcroc.weights.resnet_timm import resnet_from_timm
from mmcroc.weights.vit_hf import dinov2_from_hf, vit_from_hf
from mmcroc.weights.vit_timm import vit_from_timm

SHOWN = 5
PATCHES = 'patch_embed.proj.weight'
HF_PATCHES, HF_REGISTERS = (
    'embeddings.patch_embeddings.projection.weight',
    'embeddings.register_tokens',
)


@dataclass(frozen=True)
class WeightLayout:
    """One way to name the weights of one kind of backbone.

    Attributes:
        name: For people.
        keys: All are there.
        absent: None of these is.
        convert: Names and values as the module has them.
        config: Of the module, from the converted weights.
        has_heads: Whether ``config`` takes the number of attention heads.
        prefix: What the module puts before every key.
    """

    name: str
    keys: tuple[str, ...]
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    config: Callable[..., dict]
    absent: tuple[str, ...] = ()
    has_heads: bool = True
    prefix: str = ''

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the keys are this layout's."""
        return all(key in state for key in self.keys) and not any(k in state for k in self.absent)

    def build(
        self, state: Mapping[str, Tensor], heads: int | None = None
    ) -> tuple[dict, dict[str, Tensor]]:
        """Config and weights of the module.

        Args:
            state: Weights in this layout.
            heads: Attention heads, where they are known from elsewhere.

        Raises:
            ValueError: They are not whole, or something cannot be told from them.
        """
        try:
            converted = self.convert(state)
            cfg = self.config(converted, heads) if self.has_heads else self.config(converted)
        except KeyError as error:
            raise ValueError(f'{self.name} without {error}') from error
        return cfg, {f'{self.prefix}{key}': value for key, value in converted.items()}


#: The first that fits is taken.
LAYOUTS = (
    WeightLayout(
        'MMPretrain ViT',
        ('patch_embed.projection.weight', 'cls_token', 'layers.0.ln1.weight'),
        dict,
        vision_transformer_config,
    ),
    WeightLayout(
        "DINOv3 ViT in Meta's layout",
        (PATCHES, 'storage_tokens', 'blocks.0.norm1.weight'),
        dinov3_to_timm,
        timm_dinov3_config,
        absent=('pos_embed',),
        prefix='model.',
    ),
    WeightLayout(
        "DINOv3 ViT in timm's layout",
        (PATCHES, 'reg_token', 'blocks.0.gamma_1'),
        dict,
        timm_dinov3_config,
        absent=('pos_embed',),
        prefix='model.',
    ),
    WeightLayout(
        "DINOv2 ViT with registers in Meta's layout",
        (PATCHES, 'register_tokens', 'pos_embed'),
        dinov2_to_timm,
        timm_registers_config,
        prefix='model.',
    ),
    WeightLayout(
        "ViT with registers in timm's layout",
        (PATCHES, 'reg_token', 'pos_embed', 'blocks.0.norm1.weight'),
        dict,
        timm_registers_config,
        prefix='model.',
    ),
    WeightLayout(
        "ViT in timm's layout (DINO, iBOT, DINOv2, MAE)",
        (PATCHES, 'cls_token', 'pos_embed'),
        lambda state: vit_from_timm(dinov2_to_timm(state)),
        vision_transformer_config,
    ),
    WeightLayout(
        "Hugging Face's DINOv2 ViT with registers",
        (HF_PATCHES, HF_REGISTERS, 'encoder.layer.0.norm1.weight'),
        lambda state: dinov2_to_timm(dinov2_from_hf(state)),
        timm_registers_config,
        prefix='model.',
    ),
    WeightLayout(
        "Hugging Face's DINOv2 ViT",
        (HF_PATCHES, 'encoder.layer.0.norm1.weight'),
        lambda state: vit_from_timm(dinov2_to_timm(dinov2_from_hf(state))),
        vision_transformer_config,
    ),
    WeightLayout(
        "Hugging Face's ViT",
        (HF_PATCHES, 'encoder.layer.0.layernorm_before.weight'),
        vit_from_hf,
        vision_transformer_config,
    ),
    WeightLayout(
        "ResNet in torchvision's layout (timm, MMPretrain)",
        ('conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight'),
        resnet_from_timm,
        resnet_config,
        has_heads=False,
    ),
    WeightLayout(
        "ResNet with a deep stem in timm's layout",
        ('conv1.0.weight', 'layer1.0.conv1.weight'),
        resnet_from_timm,
        resnet_config,
        has_heads=False,
    ),
    WeightLayout(
        'MMPretrain ResNet with a deep stem',
        ('stem.0.conv.weight', 'layer1.0.conv1.weight'),
        dict,
        resnet_config,
        has_heads=False,
    ),
)


def detect_layout(state: Mapping[str, Tensor]) -> WeightLayout:
    """The layout of a backbone's weights.

    Raises:
        ValueError: It is none of ``LAYOUTS``.
    """
    for layout in LAYOUTS:
        if layout.fits(state):
            return layout
    known = ', '.join(layout.name for layout in LAYOUTS)
    raise ValueError(
        f'it holds no config, and its keys ({", ".join(list(state)[:SHOWN])}, ...) are of no known '
        f"layout: {known}, CrOC's and HSG's released checkpoints"
    )
