"""MMSegmentation's interface to any network of which dense tokens can be taken."""

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmcroc.features.dense_model import DenseModel
from mmcroc.features.dense_tokens import dense_tokens, hand_out_tokens
from mmcroc.registry import MODELS


@MODELS.register_module()
class FeatureSegmentor(DenseModel, BaseSegmentor):
    """Hands out the dense tokens of a frozen backbone, for metrics such as ``ClusteringIoU``.

    It never leaves evaluation: neither stochastic depth nor running statistics.

    Args:
        backbone: Any network that :func:`mmcroc.features.dense_tokens.dense_tokens` takes, or its
            config. Weights come through its ``init_cfg``.
        data_preprocessor, init_cfg: As MMSegmentation's.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone) if isinstance(backbone, dict) else backbone
        self.name = getattr(self.backbone, 'name', type(self.backbone).__name__)
        self.provenance = getattr(self.backbone, 'provenance', '')
        self.backbone.requires_grad_(False)
        # DistributedDataParallel refuses a model without a parameter to train.
        self.unused = nn.Parameter(torch.zeros(()))
        self.train(False)

    def train(self, mode: bool = True) -> 'FeatureSegmentor':
        """Evaluation, whatever ``mode`` says."""
        return super().train(False)

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """One (B, C, h, w) map of images (B, 3, H, W)."""
        return (dense_tokens(self.backbone, inputs),)

    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list:
        """Data samples with ``tokens`` of images (B, 3, H, W)."""
        return hand_out_tokens(self.features(inputs), data_samples)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor]:
        return self.extract_feat(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list) -> Tensor:
        """Not available: there is no head."""
        raise NotImplementedError('FeatureSegmentor has no head: it hands out features')

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """Not available: nothing is trained."""
        raise NotImplementedError(
            'FeatureSegmentor trains nothing; for a linear head take mmseg.EncoderDecoder'
        )
