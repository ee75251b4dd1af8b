"""How weights are named in files that hold no config, told by their keys."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmcroc.weights import released_croc, released_hsg
from mmcroc.weights.architectures import dinov3_config, resnet_config, vit_config
from mmcroc.weights.checkpoint_content import backbone_weights, without_heads
from mmcroc.weights.resnet_names import resnet_from_timm
from mmcroc.weights.vit_names import dinov2_from_hf, dinov3_to_timm, vit_from_hf, vit_from_timm

SHOWN = 5
HF_PATCHES = 'embeddings.patch_embeddings.projection.weight'
#: Weights that only HSG has.
EMBEDDING_KEY = 'neck.projection.0.conv.weight'


@dataclass(frozen=True)
class WeightLayout:
    """One way to name the weights of one kind of backbone, or of a whole model.

    Attributes:
        name: Name for people.
        fits: Whether weights, or the content of a whole model's file, are in it.
        convert: Gives names and values as the module has them.
        config: Gives the module's config, of the converted weights and, of ViTs, the number of
            attention heads where it is known.
        prefix: Prefix that the module has before every key.
    """

    name: str
    fits: Callable[[Mapping], bool]
    convert: Callable[[Mapping], dict[str, Tensor]]
    config: Callable[[Mapping[str, Tensor], int | None], dict]
    prefix: str = ''

    def build(self, content: Mapping, heads: int | None = None) -> tuple[dict, dict[str, Tensor]]:
        """Config and weights of the module; attention heads may be known from elsewhere.

        A ValueError says so if the content is not whole, or something cannot be told from it.
        """
        converted = self.converted(content)
        with self._in_words():
            cfg = self.config(converted, heads)
        return cfg, {f'{self.prefix}{key}': value for key, value in converted.items()}

    def converted(self, content: Mapping) -> dict[str, Tensor]:
        """Names without the prefix, and values; errors as :meth:`build`."""
        with self._in_words():
            return self.convert(content)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            raise ValueError(f'{self.name} without {error}: the file is incomplete') from error
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise ValueError(f'{self.name} with weights of other shapes: {error}') from error


def _with(*keys: str, without: str = '') -> Callable[[Mapping], bool]:
    """Whether all of some keys are there, and one is not."""
    return lambda state: all(key in state for key in keys) and without not in state


PATCHES = 'patch_embed.proj.weight'
BLOCK = 'encoder.layer.0.'
#: Backbones; the first that fits is taken. timm's module has ``model.`` before every key.
LAYOUTS = (
    WeightLayout('MMPretrain ViT',
                 _with('patch_embed.projection.weight', 'cls_token', 'layers.0.ln1.weight'),
                 dict, vit_config),
    WeightLayout("DINOv3 ViT in Meta's layout",
                 _with(PATCHES, 'storage_tokens', 'blocks.0.norm1.weight', without='pos_embed'),
                 dinov3_to_timm, dinov3_config, 'model.'),
    WeightLayout("DINOv3 ViT in timm's layout",
                 _with(PATCHES, 'reg_token', 'blocks.0.gamma_1', without='pos_embed'),
                 dict, dinov3_config, 'model.'),
    WeightLayout("ViT in timm's layout (DINO, iBOT, DINOv2, MAE)",
                 _with(PATCHES, 'cls_token', 'pos_embed'), vit_from_timm, vit_config),
    WeightLayout("Hugging Face's DINOv2 ViT", _with(HF_PATCHES, BLOCK + 'norm1.weight'),
                 dinov2_from_hf, vit_config),
    WeightLayout("Hugging Face's ViT", _with(HF_PATCHES, BLOCK + 'layernorm_before.weight'),
                 vit_from_hf, vit_config),
    WeightLayout("ResNet in torchvision's layout (timm, MMPretrain)",
                 _with('conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight'),
                 resnet_from_timm, resnet_config),
    WeightLayout("ResNet with a deep stem in timm's layout",
                 _with('conv1.0.weight', 'layer1.0.conv1.weight'), resnet_from_timm, resnet_config),
    WeightLayout('MMPretrain ResNet with a deep stem',
                 _with('stem.0.conv.weight', 'layer1.0.conv1.weight'), dict, resnet_config),
)  # fmt: skip


def _state_dict(checkpoint: Mapping) -> Mapping:
    state = checkpoint.get('state_dict')
    return state if isinstance(state, Mapping) else checkpoint


def _unknown_strides(checkpoint: Mapping) -> dict[str, Tensor]:
    raise ValueError('holds no config, but weights of HSG: the strides of its ResNet are unknown')


#: Whole models saved without a config of ours; the first that fits is taken.
MODEL_LAYOUTS = (
    WeightLayout(released_croc.CROC, released_croc.is_released_croc,
                 released_croc.convert_released_croc, released_croc.released_croc_config),
    WeightLayout(released_hsg.HSG, released_hsg.is_released_hsg,
                 released_hsg.convert_released_hsg, released_hsg.released_hsg_config),
    WeightLayout('mmcroc.HSG without its config',
                 lambda checkpoint: EMBEDDING_KEY in _state_dict(checkpoint),
                 _unknown_strides, released_hsg.released_hsg_config),
)  # fmt: skip


def model_layout(checkpoint: Mapping) -> WeightLayout | None:
    """The layout of a whole model in a checkpoint without a config; None if it is none."""
    return next((layout for layout in MODEL_LAYOUTS if layout.fits(checkpoint)), None)


def under_our_names(checkpoint: Mapping) -> Mapping:
    """A released checkpoint as one of ours: a whole model's, or a backbone's under ``backbone.``.

    Its ``state_dict`` is under our names; a file whose names are ours or unknown stays as it is.
    """
    try:
        if layout := model_layout(checkpoint):
            return dict(state_dict=layout.converted(checkpoint))
        weights = without_heads(backbone_weights(checkpoint).state)
        # Attention heads leave no trace in the weights: any number gives the same.
        _, converted = detect_layout(weights).build(weights, heads=1)
    except ValueError:  # what does not fit is refused by who loads it
        return checkpoint
    if converted.keys() == weights.keys():
        return checkpoint
    return dict(state_dict={f'backbone.{key}': value for key, value in converted.items()})


def detect_layout(state: Mapping[str, Tensor]) -> WeightLayout:
    """The layout of a backbone's weights; a ValueError if it is none of ``LAYOUTS``."""
    for layout in LAYOUTS:
        if layout.fits(state):
            return layout
    known = ', '.join(layout.name for layout in LAYOUTS)
    raise ValueError(
        f'it holds no config, and its keys ({", ".join(list(state)[:SHOWN])}, ...) are of no known '
        f"layout: {known}, CrOC's and HSG's released checkpoints"
    )
