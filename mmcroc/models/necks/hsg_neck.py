"""HSG's pixel embedding."""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.registry import MODELS


class LearnedPosition2d(nn.Module):
    """A learned embedding per column and per row, concatenated in this order.

    Args:
        channels: Of the result; half from columns, half from rows.
        num_positions: Entries of each table. Larger maps get them interpolated.
    """

    def __init__(self, channels: int, num_positions: int = 50):
        super().__init__()
        if channels % 2:
            raise ValueError(f'LearnedPosition2d: channels={channels} must be even')
        self.row = nn.Embedding(num_positions, channels // 2)
        self.column = nn.Embedding(num_positions, channels // 2)
        for table in (self.row, self.column):
            nn.init.uniform_(table.weight)

    def forward(self, height: int, width: int) -> Tensor:
        """Positions of a map: (channels, height, width)."""
        rows, columns = self._fit(self.row.weight, height), self._fit(self.column.weight, width)
        return torch.cat(
            [
                columns.T[:, None].expand(-1, height, -1),
                rows.T[:, :, None].expand(-1, -1, width),
            ]
        )

    @staticmethod
    def _fit(table, size):
        if size <= len(table):
            return table[:size]
        return F.interpolate(table.T[None], size, mode='linear', align_corners=True)[0].T


@MODELS.register_module()
class HSGNeck(BaseModule):
    """From a backbone's last map to pixel embeddings: two 1x1 convolutions, and positions.

    Args:
        in_channels: Of the backbone's map.
        hidden_channels: Between the convolutions. Default: as ``in_channels``.
        out_channels: Of the embedding.
        num_positions: See :class:`LearnedPosition2d`.
        norm_cfg: Of the first convolution.
        init_cfg: As MMEngine's.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        hidden_channels: int | None = None,
        out_channels: int = 128,
        num_positions: int = 50,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        hidden_channels = hidden_channels or in_channels
        self.projection = nn.Sequential(
            ConvModule(
                in_channels, hidden_channels, 1, bias=False, norm_cfg=norm_cfg or dict(type='BN')
            ),
            nn.Conv2d(hidden_channels, out_channels, 1),
        )
        self.position = LearnedPosition2d(out_channels, num_positions)

    def forward(self, features: tuple[Tensor]) -> Tensor:
        """The last of ``features``, (B, in_channels, h, w) -> (B, out_channels, h, w)."""
        return self.projection(features[-1])
