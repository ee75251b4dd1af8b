"""How a model hands dense tokens to the metrics."""

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn


def dense_tokens(backbone: nn.Module, images: Tensor) -> Tensor:
    """A backbone's last feature map.

    Args:
        backbone: Gives a (B, C, h, w) map or a tuple that ends in one; or is
            :class:`mmcroc.features.VisionTransformer`.
        images: (B, 3, H, W), normalised.

    Returns:
        (B, C, h, w); for a ViT the final-normed patch tokens.

    Raises:
        ValueError: The backbone gives something else.
    """
    if hasattr(backbone, 'forward_tapped'):
        tokens = backbone.forward_tapped(images).tokens
        return tokens.mT.unflatten(-1, backbone.grid_size(images))
    features = backbone(images)
    features = features[-1] if isinstance(features, tuple | list) else features
    if features.dim() != 4:
        raise ValueError(
            f'{type(backbone).__name__} gave features of {tuple(features.shape)} for images of '
            f'{tuple(images.shape)}, not a (B, C, h, w) map; set out_type="featmap"'
        )
    return features


def hand_out_tokens(tokens: Tensor, data_samples: list | None) -> list:
    """Data samples with their ``tokens``, a ``PixelData`` of (C, h, w).

    Args:
        tokens: (B, C, h, w).
        data_samples: B samples, changed in place; None makes new ones.
    """
    if data_samples is None:
        data_samples = [SegDataSample() for _ in tokens]
    for sample, own in zip(data_samples, tokens, strict=True):
        sample.set_data(dict(tokens=PixelData(data=own)))
    return data_samples
