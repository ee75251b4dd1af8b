"""HSG's pixel embedding as a backbone."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.registry import MODELS


@MODELS.register_module()
class PixelEmbedding(BaseModule):
    """A backbone with HSG's neck on top: what HSG compares pixels by.

    Args:
        backbone: Gives a tuple of maps (B, C, h, w).
        neck: :class:`mmcroc.hsg.HSGNeck`.
        init_cfg: As MMEngine's.
    """

    def __init__(
        self, backbone: dict | nn.Module, neck: dict | nn.Module, init_cfg: dict | None = None
    ):
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone) if isinstance(backbone, dict) else backbone
        self.neck = MODELS.build(neck) if isinstance(neck, dict) else neck

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W), not normalised."""
        return (self.neck(self.backbone(images)),)
